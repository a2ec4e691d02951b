"""The system calls that a sandbox refuses, because they lead around its limits, as a seccomp filter.

A namespace of its own would let a program mount file systems in memory, and files in memory that are not
mapped count against no limit. Format: the kernel's Documentation/userspace-api/seccomp_filter.rst.
"""

import errno
import os
import struct

from pipeline.evaluate.bwrap import SandboxError

# By machine: the architecture's number in audit.h, and each call's in the kernel's table.
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
REFUSED = {
    # unshare, setns, memfd_create, memfd_secret, shmget, mount, fsopen, io_uring_setup
    "x86_64": (272, 308, 319, 447, 29, 165, 430, 425),
    "aarch64": (97, 268, 279, 447, 194, 40, 430, 425),
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
    refuse = _step(RETURN, REFUSE | errno.EPERM)
    steps = [_step(LOAD, ARCHITECTURE), _step(EQUAL, ARCHITECTURES[machine], 1, 0), refuse]
    steps += [_step(LOAD, NUMBER), _step(AT_LEAST, X32, 0, 1), refuse]
    for number in REFUSED[machine]:
        steps += [_step(EQUAL, number, 0, 1), refuse]
    # Its flags are in memory, where a filter cannot look; the C library then takes clone instead.
    steps += [_step(EQUAL, CLONE3, 0, 1), _step(RETURN, REFUSE | errno.ENOSYS)]
    steps += [_step(EQUAL, CLONE[machine], 0, 3), _step(LOAD, FIRST_ARGUMENT)]
    steps += [_step(ANY_BIT, CLONE_NEWUSER, 0, 1), refuse]
    return b"".join([*steps, _step(RETURN, ALLOW)])


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One instruction: what is done, and how many of the next are skipped."""
    return struct.pack("=HBBI", code, if_true, if_false, value)
