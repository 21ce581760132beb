"""Files that a command writes: whole or not at all."""

import os
from pathlib import Path

from tailfuse.errors import UserError


def write_output(path: Path, text: str) -> None:
    """Write beside and rename. Raises UserError, and leaves nothing behind then."""
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, path)
    except OSError as error:
        if beside.is_file():
            beside.unlink()
        raise UserError(f"{path}: cannot be written: {error.strerror}") from None
