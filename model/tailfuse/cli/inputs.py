"""One sample as `--input MODALITY=VALUE` says it."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from tailfuse_service.modalities import KINDS

from tailfuse.errors import UserError

INPUT_HELP = (
    "One modality of one sample: the path of a file (an image, a series), JSON or @file.json, a text or "
    "@file.txt; @- is stdin."
)


def parse_inputs(kinds: Mapping[str, str], texts: Sequence[str]) -> dict[str, Any]:
    """Raw values by modality; `kinds` are those of the model's modalities. Raises UserError."""
    inputs: dict[str, Any] = {}
    for text in texts:
        name, value = parse_input(kinds, text)
        if name in inputs:
            raise UserError(f"--input {name}: given twice")
        inputs[name] = value
    return inputs


def parse_input(kinds: Mapping[str, str], text: str) -> tuple[str, Any]:
    """MODALITY=VALUE as the name and the raw value. Raises UserError."""
    name, equals, value = text.partition("=")
    kind = kinds.get(name)
    if not equals or kind is None:
        raise UserError(
            f"--input {text}: expected MODALITY=VALUE, where MODALITY is one of {', '.join(kinds)}"
        )
    try:
        part = KINDS[kind].part if kind in KINDS else "text"
        if part == "file":
            return name, content(value.removeprefix("@"))
        text = content(value[1:]).decode() if value.startswith("@") else value
        return name, orjson.loads(text) if part == "JSON" else text
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise UserError(f"--input {name}: {value.removeprefix('@')}: {reason}") from None
    except orjson.JSONDecodeError as error:
        raise UserError(f"--input {name}: not JSON: {error}") from None


def list_files(table: Path | None, texts: Sequence[str]) -> list[Path]:
    """Return the files that are read: the table, or those that inputs name."""
    if table is not None:
        return [table]
    named = (text.partition("=")[2].removeprefix("@") for text in texts)
    return [Path(value) for value in named if value and is_file(value)]


def is_file(value: str) -> bool:
    """Return whether a value names a file; a long text, or one with a zero byte, cannot."""
    try:
        return Path(value).is_file()
    except (OSError, ValueError):
        return False


def content(path: str) -> bytes:
    """The bytes of a file, or of stdin for `-`."""
    return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
