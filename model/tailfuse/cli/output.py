"""Files that a command writes: whole or not at all."""

from pathlib import Path

from tailfuse_service.bundle import write_atomically

from tailfuse.errors import UserError


def write_output(path: Path, text: str) -> None:
    """Replace the file. Raises UserError, and leaves nothing behind then."""
    try:
        write_atomically(path, text)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from None
