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
            print(TOLD + line, flush=True)

    # Written by the process that waits for this one, for it alone.
    job = pickle.loads(Path(sys.argv[1]).read_bytes())
    try:
        train(job, tell)
    except (SftError, WriteError) as error:
        print(FAULT + json.dumps(str(error)), flush=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
