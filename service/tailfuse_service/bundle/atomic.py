"""Files and folders that appear whole or not at all: written under a temporary name, then renamed."""

import contextlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from io import BufferedRandom
from pathlib import Path

ABANDONED_S = 86_400  # a temporary file this old belongs to a process that was killed


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BufferedRandom]:
    """Open a new file that replaces `path` when the block ends, and vanishes if the block raises.

    A power cut leaves the old file or the new one. Raises OSError.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, atomic_file(Path(folder) / "numbers.txt") as file:
    ...     file.write(b"1 2 3")
    5
    """
    remove_abandoned(path.parent, f".{path.name}.*.part")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        with temporary.open("w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes | str) -> None:
    """Replace the file at `path` by this content; a string is written as UTF-8. Raises OSError."""
    with atomic_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Make a folder to fill that replaces `target` when the block ends, and vanishes if the block raises.

    Raises OSError.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        if target.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
            os.replace(target, old / target.name)
            os.replace(temporary, target)
            shutil.rmtree(old)
        else:
            os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_abandoned(folder: Path, pattern: str = ".*.part") -> None:
    """Remove temporary files that killed processes have left in a folder."""
    for temporary in folder.glob(pattern):
        with contextlib.suppress(OSError):
            if time.time() - temporary.stat().st_mtime > ABANDONED_S:
                temporary.unlink()
