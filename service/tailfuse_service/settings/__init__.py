"""Configuration: the service's settings and the files that they name."""

from tailfuse_service.settings.settings import Settings

__all__ = ["Settings"]
