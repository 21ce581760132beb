"""Serve a tailfuse bundle over HTTP and gRPC."""

from importlib.metadata import version

__version__ = version("tailfuse")
