"""What can go wrong: the service says what (`Problem`), or nothing usable comes back (`NoAnswer`)."""

from collections.abc import Mapping
from typing import Any

URN = "urn:tailfuse:problem:"


class Problem(Exception):
    """What the service answers instead (RFC 9457). In a batch it is returned in its item's place.

    `document` is all of it; what a problem does not say is None.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        super().__init__(document)  # so it can be pickled
        self.document = document
        self.type: str = document.get("type", "about:blank")
        self.title: str = document.get("title", "")
        self.status: int = document["status"]
        self.detail: str = document.get("detail", "")
        self.instance: str | None = document.get("instance")
        self.request_id: str | None = document.get("request_id")
        self.modality: str | None = document.get("modality")
        self.column: str | None = document.get("column")
        self.expected: Any = document.get("expected")
        self.received: Any = document.get("received")
        self.retry_after_s: float | None = document.get("retry_after_s")

    @property
    def slug(self) -> str:
        """The name of the type, as in docs/SERVICE.md: `unknown-column`, `overloaded`, …"""
        return self.type.removeprefix(URN)

    def __str__(self) -> str:
        return f"{self.detail or self.title} ({self.status} {self.slug})"


class NoAnswer(Exception):
    """The service cannot be reached, does not answer in time, breaks off, or is no tailfuse."""
