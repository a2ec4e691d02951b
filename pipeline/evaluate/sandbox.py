"""Runs an untrusted Python program where it sees neither the network nor the caller's files and processes.

Namespaces come from bubblewrap, limits from `setrlimit` (both in bwrap.py), the wall clock and the cap on
output from here. Without a sandbox nothing is run. Memory is limited for each process, so that a program may
hold `memory_bytes` times `processes`; where memory runs out the kernel ends the program before others.
"""

import contextlib
import fcntl
import json
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pipeline.evaluate import bwrap
from pipeline.evaluate.bwrap import REMEDY, Limits, SandboxError
from pipeline.evaluate.syscalls import syscall_filter

__all__ = ["Limits", "Ran", "SandboxError", "check_sandbox", "run_python"]

# What starting a sandbox may take on a busy machine; the program's own seconds count from when it runs.
START_SECONDS = 30.0


@dataclass(frozen=True)
class Ran:
    """How a program ended.

    code: its exit code, the negative number of the signal that ended it, or None where a limit of time or
    output did. reason: "" where it ended by itself, else "time", "output", "memory" (an uncaught MemoryError)
    or "signal". Bytes that are not UTF-8 are replaced.
    """

    code: int | None
    stdout: str
    stderr: str
    reason: str


def check_sandbox() -> None:
    """Raises SandboxError where a trivial program cannot be run in a sandbox."""
    ran = run_python("print('sandbox')", "", Limits(seconds=START_SECONDS))
    if ran.stdout != "sandbox\n":
        raise SandboxError(
            f"a trivial program failed in the sandbox ({ran.reason} {ran.stderr.strip()}): {REMEDY}"
        )


def run_python(program: str, stdin: str, limits: Limits) -> Ran:
    """How `program` ended, with `stdin` as its standard input. All its processes are gone on return.

    Raises SandboxError where the sandbox cannot be made; the program was not run then.
    """
    found = bwrap.find()
    with contextlib.ExitStack() as files:
        contents = (program.encode(), stdin.encode(), syscall_filter())
        source, text, calls = (files.enter_context(_sealed(content)) for content in contents)
        info, status = files.enter_context(_pipe()), files.enter_context(_pipe())
        passed = bwrap.Passed(source=source, calls=calls, info=info[1], status=status[1])
        folder = files.enter_context(tempfile.TemporaryDirectory(prefix="sandbox-"))
        sandbox = subprocess.Popen(
            bwrap.command(found, limits, passed, folder),
            stdin=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(source, calls, info[1], status[1]),
            start_new_session=True,
        )
        try:
            for pipe in (info, status):
                os.close(pipe.pop())
            init = _first_process(info[0])
            try:
                return _watch(sandbox, status[0], limits)
            finally:
                # The end of a namespace's first process ends all others, and is over only after they are.
                if init is not None:
                    with contextlib.suppress(ProcessLookupError):
                        signal.pidfd_send_signal(init, signal.SIGKILL)
                    os.close(init)
        except BaseException:
            sandbox.kill()
            raise
        finally:
            sandbox.communicate()


def _watch(sandbox: subprocess.Popen[bytes], status: int, limits: Limits) -> Ran:
    """Reads what the program writes until it has ended or passed a limit."""
    assert sandbox.stdout is not None
    assert sandbox.stderr is not None
    out, err = sandbox.stdout.fileno(), sandbox.stderr.fileno()
    read = {out: bytearray(), err: bytearray(), status: bytearray()}
    deadline, started, reason = time.monotonic() + START_SECONDS, False, ""
    with selectors.DefaultSelector() as selector:
        for file in read:
            selector.register(file, selectors.EVENT_READ)
        while selector.get_map() and not reason:
            left = deadline - time.monotonic()
            if left <= 0:
                reason = "time"
            for key, _ in selector.select(max(left, 0)):
                room = limits.output_bytes - len(read[out]) - len(read[err])
                chunk = os.read(key.fd, min(room + 1, 1 << 16))
                if not chunk:
                    selector.unregister(key.fd)
                elif key.fd != status and len(chunk) > room:
                    chunk, reason = chunk[:room], "output"
                read[key.fd] += chunk
            if not started and read[status]:
                deadline, started = time.monotonic() + limits.seconds, True
    stdout, stderr = (read[file].decode(errors="replace") for file in (out, err))
    if not started:
        raise SandboxError(f"the sandbox did not start ({stderr.strip() or reason}): {REMEDY}")
    return _ended(read[status], stdout, stderr, reason)


def _ended(status: bytearray, stdout: str, stderr: str, reason: str) -> Ran:
    if reason:
        return Ran(None, stdout, stderr, reason)
    # Without a status the process that waits for the program was itself killed, with the program.
    code = int(status.split()[1]) if len(status.split()) == 2 else -signal.SIGKILL
    if code == -signal.SIGXCPU:
        return Ran(None, stdout, stderr, "time")
    last = stderr.rstrip().rpartition("\n")[2]
    if code == 1 and last.partition(":")[0].endswith("MemoryError"):
        return Ran(code, stdout, stderr, "memory")
    return Ran(code, stdout, stderr, "signal" if code < 0 else "")


def _first_process(info: int) -> int | None:
    """A descriptor of the namespace's first process, which bwrap names in JSON; None where there is none."""
    told = b""
    while b"}" not in told and (part := os.read(info, 1 << 12)):
        told += part
    try:
        return os.pidfd_open(json.loads(told)["child-pid"])
    except (ValueError, KeyError, ProcessLookupError):
        return None


@contextmanager
def _pipe() -> Iterator[list[int]]:
    """The ends of a pipe, reading first; closes those that are still in the list."""
    ends = list(os.pipe())
    try:
        yield ends
    finally:
        for end in ends:
            os.close(end)


@contextmanager
def _sealed(content: bytes) -> Iterator[int]:
    """A file in memory that nobody can change, not even whoever inherits it."""
    file = os.memfd_create("sandbox", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    try:
        with open(file, "wb", closefd=False) as writer:
            writer.write(content)
        os.lseek(file, 0, os.SEEK_SET)
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, seals)
        yield file
    finally:
        os.close(file)
