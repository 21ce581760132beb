"""What both clients tell the HTTP library."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import httpx2


def connection(url: str, key: str | None, headers: Mapping[str, str] | None) -> dict[str, Any]:
    """Arguments of httpx2.Client and httpx2.AsyncClient. Raises ValueError for what is no URL."""
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise ValueError(f"{url}: {error}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError(f"{url}: a URL begins with http:// or https://")
    own = {"user-agent": f"tailfuse-client/{version('tailfuse-client')}"}
    if key is not None:
        own["authorization"] = f"Bearer {key}"
    return {"base_url": parsed, "headers": {**own, **(headers or {})}}
