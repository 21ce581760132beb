"""Serve a tailfuse bundle over HTTP and gRPC."""

from typing import Any

__version__: str


def __getattr__(name: str) -> Any:
    """Return the version. It is read when asked for, because a start begins with this file."""
    if name == "__version__":
        from importlib.metadata import version

        return version("tailfuse")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
