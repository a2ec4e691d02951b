"""A stage of training on several devices: one process each, started by accelerate, ended with this one."""

import json
import os
import pickle
import subprocess
from collections import deque
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from pipeline.files.atomic import temporary_beside
from pipeline.processes.commands import guarded, python_module
from pipeline.sft.config import DevicesConfig
from pipeline.sft.errors import SftError
from pipeline.sft.stage_plan import Job

# Before a line that is the run's own; all else that the processes print is theirs.
TOLD = "openmementos told: "
FAULT = "openmementos fault: "
_LINES_OF_A_FAULT = 30


def accelerate_config(name: str) -> Path:
    """The file of this name that comes along, or the one at this path. Raises SftError."""
    shipped = Path(str(resources.files("pipeline.sft"))) / "accelerate"
    for path in (Path(name), shipped / name):
        if path.is_file():
            return path
    known = ", ".join(sorted(path.name for path in shipped.glob("*.yaml")))
    raise SftError(f"devices.accelerate {name}: no such file; those that come along: {known}")


def train_on_devices(devices: DevicesConfig, job: Job, tell: Callable[[str], None]) -> None:
    """`train` on every device. Raises SftError with the end of what the processes have printed."""
    launch = python_module(
        "accelerate.commands.launch",
        *("--config_file", str(accelerate_config(devices.accelerate))),
        *("--num_processes", str(devices.count), "--main_process_port", "0"),
    )
    with temporary_beside(job.folder / "job") as file:
        file.write_bytes(pickle.dumps(job))
        process = subprocess.Popen(
            guarded([*launch, "--module", "pipeline.sft.device", str(file)]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        with process:
            try:
                fault, printed = _follow(process, tell)
            finally:
                # The guard ends the group when its input ends.
                assert process.stdin is not None
                process.stdin.close()
                code = process.wait()
    if fault:
        raise SftError(fault)
    if code:
        raise SftError(f"{job.stage.title} on {devices.count} devices ended with code {code}:\n{printed}")


def _follow(process: subprocess.Popen[str], tell: Callable[[str], None]) -> tuple[str, str]:
    """The fault that a process has named, if any, and the last lines of all that they have printed."""
    fault, printed = "", deque[str](maxlen=_LINES_OF_A_FAULT)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(TOLD):
            tell(line.removeprefix(TOLD).rstrip("\n"))
        elif line.startswith(FAULT):
            fault = str(json.loads(line.removeprefix(FAULT)))
        else:
            printed.append(line)
    return fault, "".join(printed)
