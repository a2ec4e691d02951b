"""The table of traces: a row per trace, stored in scripts, since a page from disk may fetch nothing else."""

import json
from collections.abc import Sequence
from typing import Any

from pipeline.inspection.trace_history import Story
from pipeline.inspection.traces import TraceState
from pipeline.report.website.plain_text import visible
from pipeline.run.effort import Effort

# What a row says; traces.js knows these names.
FIELDS = (
    "id", "path", "problem", "domain", "source", "origin", "state", "outcome", "detail", "tokens", "blocks",
    "compression", "points", "lowest", "rounds", "checks", "seconds",
)  # fmt: skip
# Columns of the table: (field, its name for people, whether it is a number).
COLUMNS = (
    ("id", "trace", False),
    ("domain", "domain", False),
    ("outcome", "outcome", False),
    ("tokens", "tokens", True),
    ("blocks", "blocks", True),
    ("compression", "compression", True),
    ("points", "points", True),
    ("lowest", "lowest", True),
    ("rounds", "rounds", True),
    ("checks", "checks", False),
    ("seconds", "seconds", True),
)
_BEGINNING = 140


def trace_row(story: Story, path: str | None, effort: Effort | None) -> list[Any]:
    """A trace's row, in the order of FIELDS. path: of its page below the site, None where it has none."""
    line, trace = story.line, story.trace or {}
    mementos = [block.memento for block in story.blocks if block.memento is not None]
    kept = [memento["rounds"][memento["best_round"]] for memento in mementos]
    checks = sorted({name for one in kept for name in one["checks"] or []})
    return [
        line.trace_id,
        path,
        _beginning(trace.get("problem", "")),
        line.domain or "",
        _beginning(trace.get("source", "")),
        _beginning(line.origin),
        line.state.value,
        f"{line.state.value}: {line.reason}" if line.state is TraceState.REJECTED else line.state.value,
        _beginning(_detail(story)),
        sum(block.tokens for block in story.blocks) if story.blocks else None,
        line.blocks,
        None if line.compression is None else round(line.compression, 2),
        None if line.score is None else round(line.score, 2),
        min((memento["score"] for memento in mementos if memento["score"] is not None), default=None),
        max((len(memento["rounds"]) for memento in mementos), default=None),
        checks,
        None if effort is None else round(effort.seconds, 1),
    ]


def script(rows: Sequence[Sequence[Any]]) -> str:
    """A script that hands the rows to the table. ASCII alone, so that no sign of a text ends anything."""
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    return f"addTraces({json.dumps(FIELDS)}, [\n{lines}\n]);\n"


def _detail(story: Story) -> str:
    if story.line.state is TraceState.UNFINISHED:
        return f"so far through {story.line.stage}"
    ending = story.ending or {}
    detail = ending.get("detail") or story.line.reason
    return f"{story.line.reason}: {detail}" if detail != story.line.reason else detail


def _beginning(text: str) -> str:
    return " ".join(visible(text[: 2 * _BEGINNING]).split())[:_BEGINNING]
