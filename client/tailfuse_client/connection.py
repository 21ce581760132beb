"""Arguments of the HTTP library for both clients."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import httpx2


def make_arguments(url: str, key: str | None, headers: Mapping[str, str] | None) -> dict[str, Any]:
    """Make the arguments of httpx2.Client and httpx2.AsyncClient. Raises ValueError for an invalid URL."""
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise ValueError(f"{url}: {error}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError(f"{url}: expected a URL that starts with http:// or https://")
    defaults = {"user-agent": f"tailfuse-client/{version('tailfuse-client')}"}
    if key is not None:
        defaults["authorization"] = f"Bearer {key}"
    return {"base_url": parsed, "headers": {**defaults, **(headers or {})}}
