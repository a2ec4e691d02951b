"""One of the processes of `launch`: `accelerate launch --module pipeline.sft.device JOB`."""

import json
import os
import pickle
import sys
from pathlib import Path

from pipeline.files.atomic import WriteError
from pipeline.sft.errors import SftError
from pipeline.sft.launch import FAULT, TOLD
from pipeline.sft.train_stage import train


def main() -> None:
    """Trains the stage that the file JOB describes; the first process speaks for all."""
    is_first = os.environ.get("RANK", "0") == "0"

    def tell(line: str) -> None:
        if is_first:
            _print(TOLD + line)

    # Written by the process that waits for this one, for it alone.
    job = pickle.loads(Path(sys.argv[1]).read_bytes())
    try:
        train(job, tell)
    except (SftError, WriteError) as error:
        _print(FAULT + json.dumps(str(error)))
        sys.exit(1)


def _print(line: str) -> None:
    # In one write, the line's end with it: the processes share a pipe, and two lines must not become one.
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
