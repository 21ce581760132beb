"""Errors: the service reports a `Problem`, or there is no usable answer (`NoAnswer`)."""

from collections.abc import Mapping
from typing import Any

URN = "urn:tailfuse:problem:"


class Problem(Exception):
    """Problem details from the service (RFC 9457). In a batch it is returned in place of its item's answer.

    `document` is the whole JSON object; missing members are None.
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
        """The name of the type, as in docs/reference/errors.md: `unknown-column`, `overloaded`, …"""
        return self.type.removeprefix(URN)

    def __str__(self) -> str:
        return f"{self.detail or self.title} ({self.status} {self.slug})"


class NoAnswer(Exception):
    """The service is unreachable, times out, breaks the connection, or is not a tailfuse service."""
