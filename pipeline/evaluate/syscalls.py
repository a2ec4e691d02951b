"""The system calls that a sandbox refuses, as a seccomp filter.

They lead around its limits: a namespace of its own would let a program mount file systems in memory; files
in memory that are not mapped, and queues of System V, count against no limit. Or they lead to what the kernel
keeps for a user or the whole machine: keys outlive who adds them, contexts of asynchronous I/O are few.
Programs for the kernel, its counters and faults, and the memory of other processes are nothing that an answer
needs. Format: the kernel's Documentation/userspace-api/seccomp_filter.rst.
"""

import errno
import os
import struct

from pipeline.evaluate.bwrap import SandboxError

# The number of each architecture in audit.h.
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# Numbers in the kernel's tables of calls, in the order of these architectures.
REFUSED = {
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "fsopen": (430, 430),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "io_setup": (206, 0),
    "io_uring_setup": (425, 425),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
}
CLONE = {"x86_64": 56, "aarch64": 220}
CLONE3 = 435
CLONE_NEWUSER = 0x10000000
# Numbers from here on are x86_64's second table, of 32-bit pointers.
X32 = 0x40000000

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16
ALLOW, REFUSE = 0x7FFF0000, 0x00050000


def syscall_filter() -> bytes:
    """The filter's program for this machine; SandboxError on one whose numbers are not known."""
    machine = os.uname().machine
    if machine not in ARCHITECTURES:
        raise SandboxError(f"no table of system calls for {machine}, only for {', '.join(ARCHITECTURES)}")
    column = list(ARCHITECTURES).index(machine)
    refuse = _step(RETURN, REFUSE | errno.EPERM)
    steps = [_step(LOAD, ARCHITECTURE), _step(EQUAL, ARCHITECTURES[machine], 1, 0), refuse]
    steps += [_step(LOAD, NUMBER), _step(AT_LEAST, X32, 0, 1), refuse]
    for numbers in REFUSED.values():
        steps += [_step(EQUAL, numbers[column], 0, 1), refuse]
    # Its flags are in memory, where a filter cannot look; the C library then takes clone instead.
    steps += [_step(EQUAL, CLONE3, 0, 1), _step(RETURN, REFUSE | errno.ENOSYS)]
    steps += [_step(EQUAL, CLONE[machine], 0, 3), _step(LOAD, FIRST_ARGUMENT)]
    steps += [_step(ANY_BIT, CLONE_NEWUSER, 0, 1), refuse]
    return b"".join([*steps, _step(RETURN, ALLOW)])


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One instruction: what is done, and how many of the next are skipped."""
    return struct.pack("=HBBI", code, if_true, if_false, value)
