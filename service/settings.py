"""The service's settings: from TAILFUSE_* variables, or from the flags of the same names."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.bundle import RuntimeName


class Settings(BaseSettings):
    """Read once, at the start, and passed down."""

    model_config = SettingsConfigDict(env_prefix="TAILFUSE_", frozen=True, use_attribute_docstrings=True)

    bundle: Path
    """The bundle to serve: a folder or a .zip."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 is every one of this machine."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; 0 takes any free one."""
    runtime: RuntimeName = "onnx"
    """What runs the model."""
    device: str = "cpu"
    """Where it runs: cpu, cuda, cuda:1, …"""
    threads: int = Field(default=1, ge=0)
    """Threads of one run; 0 takes one per core."""
    max_batch_size: int = Field(default=64, ge=1)
    """Most samples in one run."""
    max_queue: int = Field(default=1024, ge=1)
    """Most samples waiting; what comes on top is refused with 429."""
    max_items: int = Field(default=256, ge=1)
    """Most items in one POST /predict/batch."""
    max_body_bytes: int = Field(default=16 * 1024 * 1024, ge=1)
    """Longest body of a request."""
    request_timeout_s: float = Field(default=30.0, gt=0)
    """Longest time from a whole request to its answer."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that is logged."""

    @model_validator(mode="after")
    def _a_full_batch_fits_the_queue(self) -> Self:
        if self.max_items > self.max_queue:
            raise ValueError(f"max_items ({self.max_items}) must not be above max_queue ({self.max_queue})")
        return self
