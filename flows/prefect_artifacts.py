"""What the Prefect UI shows of a run: where the traces went, what came out, and where it lies."""

from pathlib import Path

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from pipeline.run.outcomes import RejectReason
from pipeline.run.totals import Totals


def show_result(totals: Totals, published: Path) -> None:
    """Creates the artifacts of a finished run."""
    create_table_artifact(
        _funnel(totals),
        key=artifact_key(totals.name, "funnel"),
        description="Where the traces went, stage by stage.",
    )
    create_markdown_artifact(
        _statistics(totals), key=artifact_key(totals.name, "statistics"), description="What came out."
    )
    create_link_artifact(
        published.as_uri(),
        key=artifact_key(totals.name, "dataset"),
        link_text=str(published),
        description="The published folder.",
    )
    create_link_artifact(
        Path(totals.report).as_uri(),
        key=artifact_key(totals.name, "report"),
        link_text=totals.report,
        description="The report: opens from disk, or by `openmementos view`.",
    )


def artifact_key(build: str, what: str) -> str:
    """The name that Prefect knows an artifact of a build by, from run to run."""
    return f"{''.join(c if c.isalnum() else '-' for c in build.lower())}-{what}"


def _funnel(totals: Totals) -> list[dict[str, object]]:
    return [
        {
            "stage": stage.stage,
            "in": stage.rows_in,
            "out": stage.rows_out,
            "rejected": ", ".join(f"{n} {RejectReason(reason).text}" for reason, n in stage.rejected.items()),
            "failed": stage.failed,
            "seconds": stage.seconds,
        }
        for stage in totals.stages
    ]


def _statistics(totals: Totals) -> str:
    compression = f"{totals.compression:.1f}×" if totals.compression else "none"
    rows = {
        "traces in": totals.traces_in,
        "done": totals.done,
        "not chosen": totals.not_chosen,
        "rejected": sum(totals.rejected.values()),
        "failed": totals.failed,
        "blocks": totals.blocks,
        "block tokens": totals.block_tokens,
        "memento tokens": totals.memento_tokens,
        "compression": compression,
        "mementos passed in the first round": totals.passed_first_round,
        "mementos passed in any round": totals.passed,
    }
    lines = [
        f"| {name} | {value if isinstance(value, str) else f'{value:,}'} |" for name, value in rows.items()
    ]
    return "\n".join(["| | |", "| --- | ---: |", *lines])
