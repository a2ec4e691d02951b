"""Whether a finished run of the sample is what the README promises; the run folder is the only argument."""

import json
import sys
from collections import Counter
from pathlib import Path

from datasets import load_dataset

from pipeline.records import parse

SAMPLE = Path("data/sample/traces.jsonl")


def main(run: Path) -> None:
    """Raises AssertionError, with what was found, where a promise does not hold."""
    told = json.loads((run / "run.json").read_text(encoding="utf-8"))
    rejected = sum(told["rejected"].values())
    counts = {"in": told["traces_in"], "done": told["done"], "rejected": rejected, "failed": told["failed"]}
    # One of the twenty is cut off in its reasoning, one reasons in Chinese: see data/sample/README.md.
    assert counts == {"in": 20, "done": 18, "rejected": 2, "failed": 0}, counts
    rows = {
        name: load_dataset(str(run / "publish"), name, split="train") for name in ("default", "full", "audit")
    }
    assert {name: len(of) for name, of in rows.items()} == dict.fromkeys(rows, 18), rows
    sample = Counter(reasoning(json.loads(line)) for line in SAMPLE.read_text("utf-8").splitlines())
    published = Counter("".join(parse(response).blocks) for response in rows["default"]["response"])
    assert published <= sample, "a published reasoning is not the source's, byte for byte"
    assert Counter("".join(sentences) for sentences in rows["full"]["sentences"]) == published
    status = json.loads((run / "status.json").read_text(encoding="utf-8"))
    assert status["state"] == "done", status
    pages = list((run / "report").glob("traces/*/*.html"))
    assert len(pages) == 20, pages
    assert Path(told["report"]).is_file(), told["report"]
    print(
        f"{run}: {counts}; its folder loads as {', '.join(rows)}, every reasoning as in the source; "
        f"{told['report']} leads to {len(pages)} pages"
    )


def reasoning(row: dict[str, object]) -> str:
    """What stands between the think marks of a sample row."""
    answer = row["conversations"][1]["value"]  # type: ignore[index]
    return str(answer).partition("<think>")[2].partition("</think>")[0]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
