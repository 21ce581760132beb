"""Addresses of bundles outside this machine, such as `s3://models/skin`. They never hold a secret."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

EXTRAS = {
    "az": "azure",
    "file": "http",  # fsspec alone, which every one of these extras brings
    "gs": "gcs",
    "hf": "hf",
    "http": "http",
    "https": "http",
    "mlflow": "mlflow",
    "oci": "oci",
    "s3": "s3",
}  # by scheme, the extra that brings its packages
FORM = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]+)://|(mlflow):)(.*)", re.DOTALL)
USER = re.compile(r"://[^/\s'\"]*@")
QUERY = re.compile(r"(://[^\s'\"?]*)\?[^\s'\")]*")


@dataclass(frozen=True, slots=True)
class Address:
    """A scheme, and what stands behind `scheme://`, without a slash at its end."""

    scheme: str
    path: str

    def __str__(self) -> str:
        return f"{self.scheme}:{'' if self.scheme == 'mlflow' else '//'}{self.path}"

    @property
    def host(self) -> str:
        """The part before the first slash: a host, bucket, container or owner."""
        return self.path.partition("/")[0]

    @property
    def name(self) -> str:
        """The last part, which names a bundle that lies at the address itself."""
        return re.sub(r"[^A-Za-z0-9._-]", "-", self.path.rpartition("/")[2]).lstrip(".") or "bundle"


def parse_address(text: str) -> Address | None:
    """Return the address that a text is; None if it is a path. Raises ValueError, which shows no secret.

    >>> parse_address("s3://models/skin/")
    Address(scheme='s3', path='models/skin')
    >>> parse_address("runs/skin/bundle") is None
    True
    """
    found = FORM.fullmatch(text)
    if found is None:
        return None
    scheme, path = (found[1] or found[2]).lower(), found[3].rstrip("/")
    if scheme not in EXTRAS:
        raise ValueError(f"'{scheme}://' is not a known kind of address; known: {', '.join(sorted(EXTRAS))}")
    check_secrets(scheme, path)
    check_path(scheme, path)
    if scheme == "http" and not is_loopback_host(path.partition("/")[0]):
        raise ValueError("http:// is only taken from this machine (127.0.0.1, localhost): use https://")
    return Address(scheme, path)


def check_secrets(scheme: str, path: str) -> None:
    """Raises ValueError if there is a user, a password or a token: addresses are logged."""
    if scheme != "mlflow" and "@" in path.partition("/")[0]:
        raise ValueError(
            f"{scheme}://…: an address must not hold a user or a password, because it is logged; "
            "set the variables of docs/STORES.md instead"
        )
    if "?" in path or "#" in path:
        raise ValueError(
            f"{scheme}://…: an address must not hold '?' or '#': a signature or a token in it would be logged"
        )


def check_path(scheme: str, path: str) -> None:
    """Raises ValueError if the path is empty, or has parts that could lead elsewhere."""
    if not path.strip("/"):
        raise ValueError(f"{scheme}://: the address is incomplete")
    if not path.isprintable() or " " in path or "\\" in path:
        raise ValueError(f"{scheme}://…: an address must not hold spaces, backslashes or control characters")
    parts = path.split("/")
    if scheme == "file":
        if parts[0]:
            raise ValueError("file:// takes an absolute path: file:///srv/models")
        parts = parts[1:]
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{scheme}://{path}: an address must not hold '//', '.' or '..'")
    if path.endswith(".zip"):
        raise ValueError(
            f"{scheme}://{path}: a store holds a bundle as a folder, not as a .zip; see docs/STORES.md"
        )


def is_loopback_host(netloc: str) -> bool:
    """Return whether a host, with or without a port, is this machine by its name."""
    host = urlsplit(f"//{netloc}").hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def mask_secrets(text: str) -> str:
    """Return a text without the users, passwords and queries of the addresses in it.

    >>> mask_secrets("403 for https://me:key@host/file?Signature=abc")
    '403 for https://***@host/file?***'
    """
    return QUERY.sub(r"\1?***", USER.sub("://***@", text))


def parse_source(value: Any) -> Any:
    """Return an address for a text that is one, and any other value as it is. Raises ValueError."""
    found = parse_address(value) if isinstance(value, str) else None
    return value if found is None else found
