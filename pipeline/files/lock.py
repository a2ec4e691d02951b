"""A lock that is waited for, between threads and processes of one machine."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def waiting_lock(path: Path) -> Iterator[None]:
    """Holds the lock of a file, which is made where it is not there, once nobody else does. Raises OSError.

    It belongs to this opening of the file, so that threads of one process wait for each other, too, and ends
    with the process, however that does.
    """
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
