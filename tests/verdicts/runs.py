"""A run whose mementos a person can look at, and verdicts on them."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.files.sealed_json import write_sealed
from pipeline.run.outcomes import Done, Failed
from pipeline.run.store import RunFolder
from pipeline.stages.run_shard import run_stages
from pipeline.verdicts import Opinion, Verdict
from tests.commands.runs import memento, partitioned_run, write_mementos

NOON = datetime(2026, 3, 4, 12, 0, 0, 5000, tzinfo=UTC)


def short_memento() -> dict[str, Any]:
    """A memento of five points in the round that was kept: it did not pass."""
    one = memento(1)
    return one | {"score": 5, "best_round": 0, "text": one["rounds"][0]["text"]}


def judged_run(root: Path) -> RunFolder:
    """Trace of mathematics done, its second memento short of the threshold; the one about code failed."""
    run, build = partitioned_run(root)
    mementos = [memento(0), short_memento(), memento(2)]
    write_mementos(run, [Done({"mementos": mementos}), Failed("the judge is away", [])])
    run_stages(["records"], 0, run, build, None)
    write_sealed(build.model_dump(mode="json"), run.config_file)
    return run


def reworded(run: RunFolder, block: int, text: str) -> None:
    """Gives the run another memento for that block of its done trace."""
    (row,) = run.read("mementos", 0).to_pylist()
    mementos = row["mementos"]
    mementos[block]["text"] = text
    write_mementos(run, [Done({"mementos": mementos}), Failed("the judge is away", [])])


def done_trace(run: RunFolder) -> dict[str, Any]:
    """The row of the trace that is done."""
    (row,) = run.read("mementos", 0).to_pylist()
    return dict(row)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def verdict(trace_id: str, block: int, opinion: Opinion = Opinion.GOOD, **others: Any) -> Verdict:
    """A verdict about some text, on a memento that passed with 8 points."""
    facts: dict[str, Any] = {"memento_sha256": sha256("a text"), "why": "", "score": 8, "passed": True}
    return Verdict(
        **{"trace_id": trace_id, "block": block, "verdict": opinion, "at": NOON, **facts, **others}
    )


def verdict_on(run: RunFolder, block: int, opinion: Opinion, **others: Any) -> Verdict:
    """A verdict about a memento of the run's done trace, as it is now."""
    row = done_trace(run)
    one = row["mementos"][block]
    facts = {"memento_sha256": sha256(one["text"]), "score": one["score"], "passed": one["score"] >= 8}
    return verdict(row["trace_id"], block, opinion, **{**facts, **others})
