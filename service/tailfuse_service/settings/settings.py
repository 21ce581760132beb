"""The service's settings, from TAILFUSE_* variables or from the flags of the same names."""

import ipaddress
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tailfuse_service.bundle import Limits, RuntimeName, install_hint, read_prior
from tailfuse_service.bundle.signature import read_trusted_keys
from tailfuse_service.cgroups import find_memory_limit
from tailfuse_service.modalities.image.formats import FORMATS, OPTIONAL_PACKAGES
from tailfuse_service.modalities.limits import PILLOW_MAX_PIXELS
from tailfuse_service.settings.key_file import read_keys
from tailfuse_service.settings.roles_file import read_roles
from tailfuse_service.stores.address import Address, parse_source

EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
ROOT_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*")
READERS = {"DICOM": "pydicom", "HEIC": "pillow_heif"}  # the modules of OPTIONAL_PACKAGES
ORIGIN = re.compile(r"\*|https?://[^/\s,]+")


class Settings(BaseSettings):
    """The service reads its settings once, at the start."""

    model_config = SettingsConfigDict(
        env_prefix="TAILFUSE_",
        env_ignore_empty=True,
        frozen=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,  # an address may hold a secret by mistake
    )

    bundle: Annotated[Path | Address, BeforeValidator(parse_source)]
    """Bundle to serve: a folder or a .zip file, a folder of bundles, or an address of a store like
    s3://models/skin."""
    store_poll_s: float = Field(default=60.0, ge=0)
    """Seconds between polls of an address for new versions; 0 polls only at the start and on reload."""
    store_timeout_s: float = Field(default=300.0, gt=0)
    """Timeout of one poll of an address, with the fetches of new bundles."""
    store_max_mb: int = Field(default=4096, ge=1)
    """Maximum size of a bundle that is fetched, in MiB."""
    store_cache: Path | None = None
    """Folder of fetched bundles. Default: `stores` in TAILFUSE_CACHE, which is ~/.cache/tailfuse."""
    trusted_keys: Path | None = None
    """File of public keys in PEM; only bundles signed by one of them are served. Needs tailfuse[sign]."""
    name: str | None = None
    """Name of the model, in place of the one in the manifest; for a single bundle, not for a folder."""
    default_model: str | None = None
    """Model used when the request names none. Default: the first by name."""
    roles: Path | None = None
    """JSON file of roles by model, read again when it changes. Without it, a restart resets the roles."""
    host: str = "127.0.0.1"
    """Bind address; 0.0.0.0 listens on all interfaces."""
    port: int = Field(default=8000, ge=0, le=65535)
    """HTTP port; 0 takes any free port."""
    grpc_port: int | None = Field(default=None, ge=0, le=65535)
    """Port of the Open Inference Protocol over gRPC; 0 takes any free port. Needs tailfuse[grpc]."""
    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    """Port of /metrics alone, which the HTTP port then no longer has; 0 takes any free port."""
    metrics_host: str | None = None
    """Bind address of the metrics port. Default: 127.0.0.1 if there are keys, else --host."""
    prior: str | None = None
    """Class shares that answers hold for: uniform, training, tempered, or a YAML or JSON file with a share
    for each class. Default: the bundle's own, uniform unless it was trained or adapted otherwise."""
    runtime: RuntimeName = "onnx"
    """Runtime that runs the model's graph."""
    trial_timeout_s: float = Field(default=60.0, gt=0)
    """Timeout of a trial: a child process opens and runs a new bundle before the service does."""
    device: str = "cpu"
    """Device of the model: cpu, cuda, cuda:1, …"""
    workers: int = Field(default=1, ge=1)
    """Number of worker processes. Each loads the model; limits apply to each worker."""
    worker_timeout_s: float = Field(default=15.0, gt=1)
    """Time after which a worker that does not respond to its supervisor is replaced."""
    threads: int = Field(default=1, ge=0)
    """Threads of one run of the model, in each worker; 0 uses one per core."""
    max_batch_size: int = Field(default=64, ge=1)
    """Maximum number of samples in one run of the model."""
    max_queue: int = Field(default=1024, ge=1)
    """Maximum number of waiting samples of each worker and bundle; above it, requests get 429."""
    max_concurrency: int = Field(default=1024, ge=1)
    """Maximum number of requests in flight in each worker; above it, requests get 429. Health checks and
    /admin do not count."""
    max_connections: int = Field(default=8192, ge=1)
    """Maximum number of open HTTP connections of each worker; above it, idle ones are closed, then new ones
    get 429."""
    max_per_client: int | None = Field(default=None, ge=1)
    """Maximum number of HTTP connections of an address, and of requests in flight of a key, in each
    worker."""
    max_items: int = Field(default=256, ge=1)
    """Maximum number of items in one POST /predict/batch."""
    max_body_bytes: int = Field(default=16 * 1024 * 1024, ge=1)
    """Maximum length of a request body."""
    memory_limit_mb: int | None = Field(default=None, ge=128)
    """Memory of the service, with all workers, in MiB; what does not fit waits or gets 429. Default: the
    container's limit, else the machine's memory."""
    max_parts: int = Field(default=Limits.max_parts, ge=1)
    """Maximum number of parts in a form."""
    max_json_depth: int = Field(default=Limits.max_json_depth, ge=6, le=1000)
    """Maximum nesting depth of a JSON body."""
    max_json_values: int = Field(default=Limits.max_json_values, ge=1000)
    """Maximum number of values in a JSON body; a member of an object counts as 4."""
    text_cache_mb: int = Field(default=32, ge=0)
    """Memory of each worker for embeddings of texts by a BERT, in MiB: a text is encoded once. 0: off."""
    max_text_chars: int = Field(default=Limits.max_text_chars, ge=1)
    """Maximum number of characters in a text or a cell."""
    max_pixels: int = Field(default=Limits.max_pixels, ge=1, le=PILLOW_MAX_PIXELS)
    """Maximum number of pixels in an image, by its header. See also --memory-limit-mb."""
    image_formats: str = ""
    """Image formats accepted too, separated by commas, such as TIFF,HEIC. Always accepted: JPEG, PNG,
    WEBP and the formats of the training images."""
    request_timeout_s: float = Field(default=30.0, gt=0)
    """Timeout from a complete request to its answer."""
    receive_timeout_s: float = Field(default=60.0, gt=0)
    """Timeout for receiving a request."""
    send_timeout_s: float = Field(default=60.0, gt=0)
    """Timeout for a client to read an answer that is too long for the connection's buffers."""
    stop_timeout_s: float = Field(default=20.0, gt=0)
    """Timeout of a stop for answering accepted requests; Kubernetes kills a container after 30 s."""
    api_keys: Path | None = None
    """File of client keys, one `name: key` or key on each line; read again when it changes."""
    admin_keys: Path | None = None
    """File of admin keys. They are valid for /admin/ and for all other routes."""
    allow_anonymous: bool = False
    """Allow requests without keys on an address that other machines can reach."""
    cors_origins: str = ""
    """Allowed origins of web pages, separated by commas; * allows all."""
    root_path: str = ""
    """Path prefix that a proxy removes from requests, such as /tailfuse; links in /docs begin with it."""
    no_console: bool = False
    """Do not serve the console, the page at /; the address / then leads to /docs."""
    share_report: bool = False
    """Show the bundle's report, report.html, in the console to whoever may ask the model. A report may show
    rows of the table."""
    drift_window_s: float = Field(default=900.0, gt=0)
    """Time window of the drift metrics."""
    tracing: bool = False
    """Send a span for every request to OTEL_EXPORTER_OTLP_ENDPOINT. Needs tailfuse[otel]."""
    log_requests: bool = False
    """Log every request, not only failed ones."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Minimum log level."""

    @property
    def limits(self) -> Limits:
        """Limits on the values of one request."""
        return Limits(
            max_pixels=self.max_pixels,
            max_text_chars=self.max_text_chars,
            max_json_depth=self.max_json_depth,
            max_json_values=self.max_json_values,
            max_parts=self.max_parts,
            image_formats=frozenset(parse_formats(self.image_formats)),
        )

    @property
    def memory_bytes(self) -> int:
        """Memory of one worker."""
        limit = self.memory_limit_mb * 2**20 if self.memory_limit_mb else find_memory_limit()
        return limit // self.workers

    @property
    def metrics_address(self) -> str:
        """Bind address of the metrics port. Metrics show what was predicted, and a scraper has no key."""
        return self.metrics_host or ("127.0.0.1" if self.api_keys else self.host)

    @property
    def origins(self) -> list[str]:
        """Allowed origins, as a list."""
        return [origin.strip() for origin in self.cors_origins.split(",") if origin.strip()]

    @field_validator("image_formats")
    @classmethod
    def _check_formats(cls, formats: str) -> str:
        for name in parse_formats(formats):
            if name not in FORMATS:
                raise ValueError(f"'{name}' is not one of {', '.join(sorted(FORMATS))}")
            if not is_installed(READERS.get(name, "PIL")):
                raise ValueError(f"{OPTIONAL_PACKAGES[name]} is not installed: {install_hint('formats')}")
        return formats

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str | None) -> str | None:
        if name is not None and not NAME.fullmatch(name):
            raise ValueError(
                f"'{name:.80}' is not a name of letters, digits, dots, hyphens and underscores that begins "
                "with a letter or a digit"
            )
        return name

    @field_validator("prior")
    @classmethod
    def _check_prior(cls, prior: str | None) -> str | None:
        if prior is not None:
            read_prior(prior)
        return prior

    @field_validator("tracing")
    @classmethod
    def _check_opentelemetry(cls, wanted: bool) -> bool:
        if wanted and not is_installed(EXPORTER):
            raise ValueError(f"OpenTelemetry is not installed: {install_hint('otel')}")
        return wanted

    @field_validator("grpc_port")
    @classmethod
    def _check_grpcio(cls, port: int | None) -> int | None:
        if port is not None and not (is_installed("grpc") and is_installed("google.protobuf")):
            raise ValueError(f"grpcio is not installed: {install_hint('grpc')}")
        return port

    @field_validator("api_keys", "admin_keys")
    @classmethod
    def _check_keys(cls, path: Path | None) -> Path | None:
        if path is not None:
            read_keys(path)
        return path

    @field_validator("trusted_keys")
    @classmethod
    def _check_trusted_keys(cls, path: Path | None) -> Path | None:
        if path is not None:
            if not is_installed("cryptography"):
                raise ValueError(f"cryptography is not installed: {install_hint('sign')}")
            try:
                read_trusted_keys(path)
            except OSError as error:
                raise ValueError(f"{path}: {error.strerror}") from None
        return path

    @field_validator("roles")
    @classmethod
    def _check_roles(cls, path: Path | None) -> Path | None:
        if path is not None:
            read_roles(path)
        return path

    @field_validator("root_path")
    @classmethod
    def _check_root_path(cls, path: str) -> str:
        path = path.rstrip("/")
        if not ROOT_PATH.fullmatch(path) or ".." in path:
            raise ValueError(f"'{path}' is not a path prefix like /tailfuse")
        return path

    @model_validator(mode="after")
    def _check_origins(self) -> Self:
        for origin in self.origins:
            if not ORIGIN.fullmatch(origin):
                raise ValueError(f"cors_origins: '{origin}' is not an origin like https://app.example.org")
        return self

    @model_validator(mode="after")
    def _check_public_address(self) -> Self:
        if not (self.api_keys or self.allow_anonymous or is_loopback(self.host)):
            raise ValueError(
                f"other machines can reach {self.host}: set a file of keys with --api-keys "
                "(TAILFUSE_API_KEYS), or allow requests without keys with --allow-anonymous "
                "(TAILFUSE_ALLOW_ANONYMOUS=true)"
            )
        return self

    @model_validator(mode="after")
    def _check_queue(self) -> Self:
        if self.max_items > self.max_queue:
            raise ValueError(f"max_items ({self.max_items}) must not be above max_queue ({self.max_queue})")
        return self


def parse_formats(formats: str) -> list[str]:
    """Return the names in a list like `tiff, heic`, in capitals."""
    return [name.strip().upper() for name in formats.split(",") if name.strip()]


def is_installed(module: str) -> bool:
    """Return whether the module can be imported."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # its parent package is missing
        return False


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach the address. Of host names, only localhost counts."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
