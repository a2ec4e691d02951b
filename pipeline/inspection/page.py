"""A run's traces as a table, one trace with its blocks and mementos as a page; in colour on a terminal."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from pipeline.inspection.trace_history import Block, Sentence, Story
from pipeline.inspection.traces import TraceLine, TraceState
from schemas.replies import Verdict

_STYLES = {
    TraceState.DONE: "green",
    TraceState.REJECTED: "yellow",
    TraceState.FAILED: "bold red",
    TraceState.UNFINISHED: "cyan",
}
_PROBLEM_CHARACTERS = 600
_ANSWER_CHARACTERS = 400
_ESCAPE = "\x1b"


def table(lines: Iterable[TraceLine]) -> Table:
    """One row per trace."""
    shown = Table(box=None, header_style="bold")
    shown.add_column("trace", no_wrap=True)
    shown.add_column("domain")
    for name in ("sentences", "blocks", "compression", "score", "rounds"):
        shown.add_column(name, justify="right")
    shown.add_column("state")
    shown.add_column("why", overflow="fold")
    for line in lines:
        why = f"{line.stage}: {line.reason}" if line.reason else ""
        after = f"after {line.stage}" if line.state is TraceState.UNFINISHED else ""
        shown.add_row(
            Text(line.trace_id or "(no id)"),
            Text(line.domain or ""),
            _number(line.sentences, "d"),
            _number(line.blocks, "d"),
            _number(line.compression, ".1f", "×"),
            _number(line.score, ".1f"),
            _number(line.rounds, ".1f"),
            Text(line.state, style=_STYLES[line.state]),
            plain(why or after or ("" if line.trace_id else line.origin)),
        )
    return shown


def show(console: Console, story: Story, blocks: Sequence[Block], *, whole: bool) -> None:
    """Prints a trace: what it is, its blocks with their mementos, how it ended. whole: all, or one block."""
    _head(console, story)
    if story.trace is not None and whole:
        _rule(console, "problem", "blue")
        _print(console, _start(story.trace["problem"], _PROBLEM_CHARACTERS))
    for block in blocks:
        _block(console, block, last=block is story.blocks[-1])
    if story.trace is not None and whole:
        _rule(console, "answer", "blue")
        _print(console, _start(story.trace["answer"].strip(), _ANSWER_CHARACTERS))
    if story.ending is not None:
        _ending(console, story)


def as_json(story: Story, blocks: Sequence[Block]) -> dict[str, Any]:
    """The same for a program."""
    trace = story.trace or {}
    kept = ("problem", "answer", "source", "difficulty", "objective")
    return {
        **asdict(story.line),
        **{name: trace.get(name) for name in kept},
        "blocks": [{**asdict(block), "tokens": block.tokens} for block in blocks],
        "ending": story.ending,
    }


def _head(console: Console, story: Story) -> None:
    line, trace = story.line, story.trace or {}
    told = Text.assemble((f"trace {line.trace_id}", "bold"), "  ", (line.state, _STYLES[line.state]))
    if line.state is TraceState.UNFINISHED:
        told.append(f", so far through {line.stage}")
    facts = [line.domain, trace.get("source"), line.origin, f"shard {line.shard}"]
    told.append("\n" + " · ".join(str(fact) for fact in facts if fact), style="dim")
    counts = [
        f"{line.sentences} sentences" if line.sentences is not None else "",
        f"{line.blocks} blocks" if line.blocks is not None else "",
        f"compression {line.compression:.1f}×" if line.compression else "",
        f"mean score {line.score:.1f}" if line.score is not None else "",
        f"objective {trace['objective']:.3f}" if "objective" in trace else "",
    ]
    if any(counts):
        told.append("\n" + " · ".join(count for count in counts if count))
    _print(console, told)


def _block(console: Console, block: Block, *, last: bool) -> None:
    until = block.first + len(block.sentences) - 1
    name = "reasoning, not cut yet" if block.number is None else f"block {block.number}"
    title = f"{name} · sentences {block.first} to {until} · {block.tokens:,} tokens"
    _rule(console, title, "cyan")
    for sentence in block.sentences[:-1]:
        _print(console, Text.assemble(plain(sentence.text.rstrip()), _boundary(sentence, "┄", "dim")))
    closing = block.sentences[-1]
    _print(console, plain(closing.text.rstrip()))
    if not last:
        _print(console, _boundary(closing, "━━ cut", "bold magenta"))
    if block.memento is not None:
        _memento(console, block.memento, block.tokens)


def _boundary(sentence: Sentence, sign: str, style: str) -> Text:
    if sentence.score is None:
        return Text(f" {sign}", style=style)
    return Text(f" {sign} {sentence.score:.1f} {sentence.reason}", style=style)


def _memento(console: Console, memento: dict[str, Any], block_tokens: int) -> None:
    title = f"memento · {memento['tokens']:,} tokens ({memento['tokens'] / block_tokens:.0%} of the block)"
    kept = f"{_points(memento['score'])}, round {memento['best_round']} kept"
    console.print(
        Panel(plain(memento["text"]), title=title, subtitle=kept, title_align="left", border_style="green")
    )
    for number, one in enumerate(memento["rounds"]):
        _print(console, _round(number, one, kept=number == memento["best_round"]))


def _round(number: int, one: dict[str, Any], *, kept: bool) -> Text:
    points = _points(one["score"], width=2)
    # Absent where an older version wrote the run.
    if len(totals := one.get("verdict_totals") or []) > 1:
        points += f" from {', '.join(map(str, totals))}"
    title = f" round {number}: {points}{' (kept)' if kept else ''}"
    told = Text.assemble((title, "bold green" if kept else "bold"))
    if one["rubric"]:
        for name, got in one["rubric"].items():
            most = _MOST_POINTS[name]
            told.append(f"  {name} {got}/{most}", style="" if got == most else "yellow")
    for label, found in (("missing", one["missing"]), ("checks", one["checks"])):
        for text in found or []:
            told.append(f"\n   {label}: ", style="yellow").append_text(plain(text))
    if not kept:
        told.append("\n   ").append_text(Text.assemble("text: ", plain(one["text"]), style="dim"))
    return told


def _points(score: int | None, width: int = 0) -> str:
    return "not judged" if score is None else f"{score:>{width}} of 10"


_MOST_POINTS = Verdict.most_points()


def _ending(console: Console, story: Story) -> None:
    ending = story.ending or {}
    style = _STYLES[story.line.state]
    told = ending["detail"] if "detail" in ending else ending["error"]
    body = (
        Text.assemble((f"{story.line.reason}\n", "bold"), plain(told)) if "detail" in ending else plain(told)
    )
    title = f"{story.line.state} at {ending['stage']}"
    console.print(Panel(body, title=title, title_align="left", border_style=style))
    for number, reply in enumerate(ending.get("replies") or []):
        console.print(Panel(plain(reply), title=f"reply {number}", title_align="left", border_style="dim"))


def _rule(console: Console, title: str, colour: str) -> None:
    console.print()
    console.print(Rule(Text(title, style=f"bold {colour}"), style=colour, align="left"))


def _print(console: Console, text: Text) -> None:
    # A pipe gets the lines as they are; only a terminal needs them broken.
    console.print(text, soft_wrap=not console.is_terminal)


def plain(text: str) -> Text:
    """Text of a trace, in which nothing is markup and nothing reaches the terminal as a command."""
    return Text(text.replace(_ESCAPE, "␛"))


def _start(text: str, characters: int) -> Text:
    rest = len(text) - characters
    if rest <= 0:
        return plain(text)
    return plain(text[:characters]).append(f" … {rest:,} more characters", style="dim")


def _number(value: float | None, form: str, unit: str = "") -> Text:
    return Text("" if value is None else f"{value:{form}}{unit}")
