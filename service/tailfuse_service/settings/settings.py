"""The service's settings: from TAILFUSE_* variables, or from the flags of the same names."""

import ipaddress
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tailfuse_service.bundle import Limits, RuntimeName, install_hint
from tailfuse_service.modalities.limits import PILLOW_MAX_PIXELS
from tailfuse_service.settings.key_file import read_keys
from tailfuse_service.settings.roles_file import read_roles

EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
ORIGIN = re.compile(r"\*|https?://[^/\s,]+")


class Settings(BaseSettings):
    """Read once, at the start, and passed down."""

    model_config = SettingsConfigDict(
        env_prefix="TAILFUSE_", env_ignore_empty=True, frozen=True, use_attribute_docstrings=True
    )

    bundle: Path
    """The bundle to serve: a folder or a .zip; or a folder of bundles."""
    default_model: str | None = None
    """The model that /predict asks, where several are served; otherwise the first by name."""
    roles: Path | None = None
    """JSON file of roles by model, read again when it changes; without one, a stop forgets them."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 is every one of this machine."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; 0 takes any free one."""
    grpc_port: int | None = Field(default=None, ge=0, le=65535)
    """Port for the Open Inference Protocol over gRPC; 0 takes any free one. Needs tailfuse[grpc]."""
    runtime: RuntimeName = "onnx"
    """What runs the model."""
    device: str = "cpu"
    """Where it runs: cpu, cuda, cuda:1, …"""
    workers: int = Field(default=1, ge=1)
    """Processes that answer; each holds the model, and its limits are its own."""
    threads: int = Field(default=1, ge=0)
    """Threads of one run; 0 takes one per core."""
    max_batch_size: int = Field(default=64, ge=1)
    """Most samples in one run."""
    max_queue: int = Field(default=1024, ge=1)
    """Most samples waiting; what comes on top is refused with 429."""
    max_concurrency: int = Field(default=1024, ge=1)
    """Most requests being answered at once; what comes on top is refused with 429."""
    max_items: int = Field(default=256, ge=1)
    """Most items in one POST /predict/batch."""
    max_body_bytes: int = Field(default=16 * 1024 * 1024, ge=1)
    """Longest body of a request."""
    max_parts: int = Field(default=Limits.max_parts, ge=1)
    """Most parts of a form."""
    max_json_depth: int = Field(default=Limits.max_json_depth, ge=6, le=1000)
    """Most arrays and objects inside one another in a JSON body."""
    max_text_chars: int = Field(default=Limits.max_text_chars, ge=1)
    """Most characters of a text, and of a cell."""
    max_pixels: int = Field(default=Limits.max_pixels, ge=1, le=PILLOW_MAX_PIXELS)
    """Most pixels of a picture, by its header; no more than these are decoded at once."""
    request_timeout_s: float = Field(default=30.0, gt=0)
    """Longest time from a whole request to its answer."""
    receive_timeout_s: float = Field(default=60.0, gt=0)
    """Longest time for a request to arrive."""
    api_keys: Path | None = None
    """File of the keys that callers need, `name: key` or a key a line; read again when it changes."""
    admin_keys: Path | None = None
    """File of keys for /admin/, good for all the rest too."""
    allow_anonymous: bool = False
    """Answer without keys on an address that other machines can reach."""
    cors_origins: str = ""
    """Web pages' origins that may ask, with commas between; * is any."""
    drift_window_s: float = Field(default=900.0, gt=0)
    """How far back drift looks: what metrics compare with the bundle's references."""
    tracing: bool = False
    """Send a span of every request to OTEL_EXPORTER_OTLP_ENDPOINT; needs tailfuse[otel]."""
    log_requests: bool = False
    """Log every request, not only those that fail."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that is logged."""

    @property
    def limits(self) -> Limits:
        """How large one request's values may be."""
        return Limits(
            max_pixels=self.max_pixels,
            max_text_chars=self.max_text_chars,
            max_json_depth=self.max_json_depth,
            max_parts=self.max_parts,
        )

    @property
    def origins(self) -> list[str]:
        """`cors_origins`, one by one."""
        return [origin.strip() for origin in self.cors_origins.split(",") if origin.strip()]

    @field_validator("tracing")
    @classmethod
    def _open_telemetry_is_there(cls, wanted: bool) -> bool:
        if wanted and not is_installed(EXPORTER):
            raise ValueError(f"OpenTelemetry is not installed: {install_hint('otel')}")
        return wanted

    @field_validator("grpc_port")
    @classmethod
    def _grpcio_is_there(cls, port: int | None) -> int | None:
        if port is not None and not (is_installed("grpc") and is_installed("google.protobuf")):
            raise ValueError(f"grpcio is not installed: {install_hint('grpc')}")
        return port

    @field_validator("api_keys", "admin_keys")
    @classmethod
    def _keys_can_be_read(cls, path: Path | None) -> Path | None:
        if path is not None:
            read_keys(path)
        return path

    @field_validator("roles")
    @classmethod
    def _roles_can_be_read(cls, path: Path | None) -> Path | None:
        if path is not None:
            read_roles(path)
        return path

    @model_validator(mode="after")
    def _origins_are_origins(self) -> Self:
        for origin in self.origins:
            if not ORIGIN.fullmatch(origin):
                raise ValueError(f"cors_origins: '{origin}' is no origin such as https://app.example.org")
        return self

    @model_validator(mode="after")
    def _a_public_address_asks_for_keys(self) -> Self:
        if not (self.api_keys or self.allow_anonymous or is_loopback(self.host)):
            raise ValueError(
                f"{self.host} can be reached from other machines: name a file of keys with --api-keys "
                "(TAILFUSE_API_KEYS), or let anybody ask with --allow-anonymous "
                "(TAILFUSE_ALLOW_ANONYMOUS=true)"
            )
        return self

    @model_validator(mode="after")
    def _a_full_batch_fits_the_queue(self) -> Self:
        if self.max_items > self.max_queue:
            raise ValueError(f"max_items ({self.max_items}) must not be above max_queue ({self.max_queue})")
        return self


def is_installed(module: str) -> bool:
    """Can it be imported?"""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a package that it is in
        return False


def is_loopback(host: str) -> bool:
    """Does only this machine reach the address? Of a name nothing is known, except of localhost."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
