"""What the Prefect UI shows of a run: where the traces went, what came out, and where it lies."""

import shlex
from pathlib import Path
from socket import gethostname

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from pipeline.run.outcomes import RejectReason
from pipeline.run.store import RunFolder
from pipeline.run.totals import Totals


def show_result(totals: Totals, run: RunFolder, released: str | None) -> None:
    """Creates the artifacts of a finished run. released: its address on the Hub, where it has one."""
    create_table_artifact(
        _funnel(totals),
        key=artifact_key(totals.name, "funnel"),
        description="Where the traces went, stage by stage.",
    )
    create_markdown_artifact(
        _statistics(totals), key=artifact_key(totals.name, "statistics"), description="What came out."
    )
    create_markdown_artifact(
        _dataset(run.publish), key=artifact_key(totals.name, "dataset"), description="The published folder."
    )
    create_markdown_artifact(
        _report(run.root), key=artifact_key(totals.name, "report"), description="How to look at the report."
    )
    if released:
        create_link_artifact(
            released,
            key=artifact_key(totals.name, "release"),
            link_text=released,
            description="The data set on the Hub.",
        )


# No links to files: browsers follow none from a page of a server, and they may run on another machine.
def _dataset(published: Path) -> str:
    return f'On `{gethostname()}`:\n\n```python\nload_dataset({str(published)!r}, split="train")\n```'


def _report(root: Path) -> str:
    host, view = gethostname(), f"openmementos view {shlex.quote(str(root))}"
    return (
        f"On `{host}`:\n\n```bash\n{view}\n```\n\n"
        f"From another machine, and then open http://127.0.0.1:8377 there:\n\n"
        f"```bash\nssh -L 8377:127.0.0.1:8377 {host} {shlex.quote(f'{view} --no-browser')}\n```\n\n"
        f"Or copy the folder `{root / 'report'}` and open its `index.html`."
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
