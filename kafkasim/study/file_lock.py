"""One process at a time: a lock on an open file, which the operating system takes away when the process ends, however it ends."""

from __future__ import annotations

import errno
import importlib
from typing import IO

_FAR_BEHIND = 2**62  # Windows keeps everybody else from reading what is locked, so what is locked there holds nothing
_NO_LOCKS_HERE = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)  # some network file systems


def try_to_lock(file: IO[bytes]) -> bool:
    """Whether the file is ours alone until it is closed. Where nothing can be locked, there is nobody to be told about."""
    try:
        fcntl = importlib.import_module("fcntl")
    except ImportError:
        return _try_on_windows(file)
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _NO_LOCKS_HERE
    return True


def _try_on_windows(file: IO[bytes]) -> bool:
    try:
        msvcrt = importlib.import_module("msvcrt")
    except ImportError:  # a browser: one process is all there is
        return True
    file.seek(_FAR_BEHIND)
    try:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except OSError:
        return False
    return True
