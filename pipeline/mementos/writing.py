"""The mementos stage: a memento for every block of a trace, each judged and the best round kept."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from pipeline.config import BuildConfig, MementosConfig
from pipeline.llm.session import LlmSession, together, what_replies_depend_on
from pipeline.llm.templates import load_prompts
from pipeline.mementos.refine import Round, best_round, write_memento
from pipeline.mementos.view import MEMENTO_END, BlockView
from pipeline.run.outcomes import Done, Outcome, Rejected, RejectReason
from pipeline.stages.stage import Row, Stage, TraceWork
from pipeline.text.pieces import block_texts
from pipeline.text.tokens import token_counter
from schemas.tables import MEMENTOS as MEMENTO_COLUMNS

QUESTIONS = ("compress", "judge", "refine")


def _depends_on(build: BuildConfig) -> Any:
    return {
        **build.mementos.model_dump(mode="json"),
        "tokenizer": build.split.tokenizer,
        "llm": what_replies_depend_on(build.llm),
        "prompts": load_prompts().digest(*QUESTIONS),
    }


MEMENTOS = Stage(
    name="mementos",
    verb="write mementos",
    reads=("trace_id", "origin", "problem", "reasoning", "sentence_ends", "block_ends", "block_tokens"),
    adds=MEMENTO_COLUMNS,
    begin=lambda build, session: _writing(build.mementos, build.split.tokenizer, session),
    config=_depends_on,
    version=4,
    asks=lambda build: True,
    prompts=lambda build: load_prompts().labels(*QUESTIONS),
)


def _writing(config: MementosConfig, tokenizer: str, session: LlmSession | None) -> TraceWork:
    """Mementos of all blocks of a trace. One with a block that got no valid memento is rejected.

    Counters: "mementos", "rounds"; "passed_first_round" and "passed" (in any round); "check.<name>" of the
    findings of all rounds; "judged.first_round" and "judged.kept" of the mementos whose first and whose kept
    round has a verdict; "points.first_round.<criterion>" and "points.kept.<criterion>" are sums over these.
    """
    if session is None:
        raise ValueError("mementos need a model")
    count = token_counter(tokenizer)

    async def write_trace(rank: int, row: Row, counters: Counter[str]) -> Outcome:
        return await _write_trace(rank, row, config, session, count, counters)

    return write_trace


async def _write_trace(
    rank: int,
    row: dict[str, Any],
    config: MementosConfig,
    session: LlmSession,
    count: Callable[[Sequence[str]], list[int]],
    counters: Counter[str],
) -> Outcome:
    blocks = block_texts(row["reasoning"], row["sentence_ends"], row["block_ends"])
    sizes = row["block_tokens"]

    def view(number: int, before: Sequence[str], before_tokens: Sequence[int]) -> BlockView:
        return BlockView(
            rank=rank,
            trace_id=row["trace_id"],
            number=number,
            problem=row["problem"],
            before=before,
            before_tokens=before_tokens,
            block=blocks[number],
            block_tokens=sizes[number],
        )

    if config.context == "mementos":
        written = []
        # One after another: a block is seen after the mementos of those before it, as at inference.
        texts: list[str] = []
        tokens: list[int] = []
        for number in range(len(blocks)):
            rounds = await write_memento(view(number, texts, tokens), config, session, count)
            written.append(rounds)
            kept = rounds[best_round(rounds)]
            if not kept.valid:
                # The trace is rejected for it; requests for the blocks after it would be wasted.
                break
            texts.append(kept.text + MEMENTO_END)
            tokens.append(kept.tokens)
    else:
        trace = config.context == "trace"
        written = await together(
            write_memento(
                view(n, blocks[:n] if trace else [], sizes[:n] if trace else []), config, session, count
            )
            for n in range(len(blocks))
        )
    _count(written, config, counters)
    return _outcome(written)


def _count(written: Sequence[list[Round]], config: MementosConfig, counters: Counter[str]) -> None:
    for rounds in written:
        counters["mementos"] += 1
        counters["rounds"] += len(rounds)
        counters["passed_first_round"] += rounds[0].passes(config.threshold)
        counters["passed"] += any(one.passes(config.threshold) for one in rounds)
        for which, one in (("first_round", rounds[0]), ("kept", rounds[best_round(rounds)])):
            if one.verdict is not None:
                counters[f"judged.{which}"] += 1
                counters.update({f"points.{which}.{name}": n for name, n in one.verdict.points.items()})
        for finding in (finding for one in rounds for finding in one.findings):
            counters[f"check.{finding.check}"] += 1


def _outcome(written: Sequence[list[Round]]) -> Outcome:
    mementos = []
    for number, rounds in enumerate(written):
        best = best_round(rounds)
        kept = rounds[best]
        if kept.verdict is None:
            found = "; ".join(finding.detail for finding in kept.findings)
            return Rejected(RejectReason.NO_VALID_MEMENTO, f"block {number}: {found}")
        mementos.append(
            {
                "text": kept.text,
                "tokens": kept.tokens,
                "score": kept.verdict.total,
                "best_round": best,
                "rounds": [one.as_row() for one in rounds],
            }
        )
    return Done({"mementos": mementos})
