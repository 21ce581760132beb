"""A hostile request, and the words for what may be said to it."""

from dataclasses import dataclass, field
from typing import Any

Inputs = dict[str, Any]  # raw values by modality, a picture as its file

JSON, FORM = "application/json", "multipart/form-data; boundary=x"
SYNTAX = ("bad-request",)
DEEP = ("too-deep",)
MISFIT = ("invalid-input",)
ENDLESS = ("not-finite",)


@dataclass(frozen=True, slots=True)
class Request:
    """A body, and what may be said to it: one of these slugs, or the answer to `same_as`."""

    body: bytes
    slugs: tuple[str, ...] = ()
    same_as: Inputs | None = None
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)
