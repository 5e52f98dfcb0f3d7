"""Files that are written whole or not at all, and found out to be impossible before any work was done."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path


class OutputError(ValueError):
    """A file that cannot be written, found out before any work was done."""


def try_to_write(path: Path) -> None:
    """Whether a file can be made beside `path`, found out by making one: permission bits do not tell all."""
    if path.is_dir():
        raise OutputError(f"{path} is a folder; give a file's name")
    if not path.parent.is_dir():
        raise OutputError(f"{path} cannot be written: there is no folder {path.parent}")
    if path.exists() and not path.is_file() and os.access(path, os.W_OK):
        return
    if path.exists() and not os.access(path, os.W_OK):
        raise OutputError(f"{path} cannot be written: permission denied")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside `path`, then put in its place: whoever looks sees the old file or the new one, never half of one."""
    path = path.resolve()  # a link goes on pointing to what it points to
    beside: Path | None = None
    try:
        if path.exists() and not path.is_file():  # a device or a pipe cannot be replaced, only written to
            write(path)
            return
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        os.close(handle)
        beside = Path(name)
        write(beside)
        beside.chmod(0o644)
        beside.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        if beside is not None:
            beside.unlink(missing_ok=True)
