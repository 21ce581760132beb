"""A client of one repository of a registry, as the OCI distribution specification has it.

The package oras is not used: it reads a file into memory to upload it, asks again for two minutes when a
manifest does not exist, and uses the token for one repository for the others too.
"""

import base64
import hashlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from tailfuse_service.bundle import BundleError
from tailfuse_service.stores.address import is_loopback_host
from tailfuse_service.stores.store import CONNECT_S, PIECE_BYTES, READ_S

if TYPE_CHECKING:
    from requests import Response

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
MAX_ANSWER_BYTES = 4 * 1024 * 1024  # of a manifest or a list of tags; registries allow no larger manifest
MAX_PAGES = 100  # of tags
PARAMETER = re.compile(r'(\w+)="([^"]*)"')


class Registry:
    """Manifests, blobs and tags of a repository. Raises ImportError without requests, and its errors."""

    def __init__(self, host: str, repository: str) -> None:
        import requests

        self._host = host
        scheme = "http" if is_loopback_host(host) else "https"
        self._root = f"{scheme}://{host}/v2/{repository}"
        self._session = requests.Session()
        self._session.hooks["response"].append(refuse_plain_redirect)
        self._authorization: str | None = None

    def read_manifest(self, reference: str) -> dict[str, Any]:
        """Return the manifest of a tag or digest. Raises FileNotFoundError, BundleError."""
        with self._send("GET", f"{self._root}/manifests/{reference}", accept=MANIFEST_TYPE) as response:
            body = read_answer(response)
        if ":" in reference and reference != f"sha256:{hashlib.sha256(body).hexdigest()}":
            raise BundleError(f"the registry answers another manifest than {reference}")
        return parse_object(body)

    def has_manifest(self, reference: str) -> bool:
        """Return whether there is a manifest of a tag."""
        try:
            with self._send("HEAD", f"{self._root}/manifests/{reference}", accept=MANIFEST_TYPE):
                return True
        except FileNotFoundError:
            return False

    def write_manifest(self, tag: str, manifest: dict[str, Any]) -> None:
        """Write a manifest, whose blobs are there already."""
        body = json.dumps(manifest).encode()
        with self._send("PUT", f"{self._root}/manifests/{tag}", data=body, kind=MANIFEST_TYPE):
            pass

    def list_tags(self) -> list[str]:
        """Return all tags. Raises FileNotFoundError if there is no such repository."""
        tags: list[str] = []
        url = f"{self._root}/tags/list"
        for _ in range(MAX_PAGES):
            with self._send("GET", url) as response:
                tags += parse_object(read_answer(response)).get("tags") or []
                following = response.links.get("next", {}).get("url")
            if not following:
                return [tag for tag in tags if isinstance(tag, str)]
            url = urljoin(url, following)
            if urlsplit(url).netloc != self._host:
                raise BundleError("the registry leads to another host for more tags")
        raise BundleError(f"the registry lists more than {MAX_PAGES} pages of tags")

    def stream_blob(self, digest: str) -> Iterator[bytes]:
        """Yield a blob in pieces. Raises BundleError at its end if it has another digest."""
        actual = hashlib.sha256()
        with self._send("GET", f"{self._root}/blobs/{digest}") as response:
            for piece in response.iter_content(PIECE_BYTES):
                actual.update(piece)
                yield piece
        if digest != f"sha256:{actual.hexdigest()}":
            raise BundleError(f"the registry answers another blob than {digest}")

    def write_blob(self, digest: str, content: IO[bytes]) -> None:
        """Upload a blob, unless it is there."""
        try:
            with self._send("HEAD", f"{self._root}/blobs/{digest}"):
                return
        except FileNotFoundError:
            pass
        with self._send("POST", f"{self._root}/blobs/uploads/") as response:
            url = urljoin(f"{self._root}/blobs/uploads/", response.headers["Location"])
        url += f"{'&' if '?' in url else '?'}digest={digest}"
        with self._send("PUT", url, data=content, kind="application/octet-stream"):
            pass

    def _send(
        self, method: str, url: str, *, data: Any = None, accept: str = "*/*", kind: str | None = None
    ) -> "Response":
        """Send a request; if the registry asks for credentials, once more with them."""
        headers = {"Accept": accept} | ({} if kind is None else {"Content-Type": kind})
        for is_last in (False, True):
            if self._authorization is not None and urlsplit(url).netloc == self._host:
                headers["Authorization"] = self._authorization
            response = self._session.request(
                method, url, data=data, headers=headers, stream=True, timeout=(CONNECT_S, READ_S)
            )
            challenge = response.headers.get("WWW-Authenticate", "")
            if response.status_code != 401 or is_last or not challenge:
                break
            response.close()
            self._authorization = self._authenticate(challenge)
            if hasattr(data, "seek"):
                data.seek(0)
        if response.status_code == 404:
            response.close()
            raise FileNotFoundError(url)
        if response.status_code in (401, 403):
            response.close()
            raise PermissionError(f"{response.status_code} of {self._host}")
        response.raise_for_status()
        return response

    def _authenticate(self, challenge: str) -> str | None:
        """Return the header that a registry asks for. Raises BundleError if it asks in an unsafe way."""
        basic = find_credentials(self._host)
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic":
            return None if basic is None else f"Basic {basic}"
        parameters = dict(PARAMETER.findall(rest))
        realm = parameters.pop("realm", "")
        parts = urlsplit(realm)
        if parts.scheme != "https" and not is_loopback_host(parts.netloc):
            raise BundleError(f"{self._host} asks to log in at '{realm:.80}', which is not https://")
        wanted = {name: value for name, value in parameters.items() if name in ("service", "scope")}
        headers = {} if basic is None else {"Authorization": f"Basic {basic}"}
        with self._session.get(
            realm, params=wanted, headers=headers, stream=True, timeout=(CONNECT_S, READ_S)
        ) as response:
            if response.status_code in (401, 403):
                raise PermissionError(f"{response.status_code} of {parts.netloc}")
            response.raise_for_status()
            answer = parse_object(read_answer(response))
        return f"Bearer {answer.get('token') or answer.get('access_token')}"


def find_credentials(host: str) -> str | None:
    """Return user and password of a host, in base64, as `docker login` has kept them; None if it has not."""
    path = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"
    try:
        config = parse_object(path.read_bytes())
    except FileNotFoundError:
        return None
    helper = config.get("credHelpers", {}).get(host) or config.get("credsStore")
    inline: str | None = config.get("auths", {}).get(host, {}).get("auth")
    if inline or not helper:
        return inline
    try:
        done = subprocess.run(
            [f"docker-credential-{helper}", "get"],
            input=host, capture_output=True, text=True, timeout=READ_S, check=True,
        )  # fmt: skip
        found = json.loads(done.stdout)
        return base64.b64encode(f"{found['Username']}:{found['Secret']}".encode()).decode()
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return None  # it knows nothing of the host


def read_answer(response: "Response") -> bytes:
    """Return a short body whole. Raises BundleError if it is long."""
    body = b""
    for piece in response.iter_content(PIECE_BYTES):
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            raise BundleError(f"the registry answers more than {MAX_ANSWER_BYTES:,} bytes")
    return body


def parse_object(body: bytes) -> dict[str, Any]:
    """Return a JSON object. Raises BundleError if it is none."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BundleError("expected a JSON object from the registry")
    return found


def refuse_plain_redirect(response: "Response", **_: Any) -> None:
    """Follow a redirect to https only, or to this machine. Raises BundleError."""
    target = urlsplit(response.headers.get("Location", "")) if response.is_redirect else urlsplit("")
    if target.scheme == "http" and not is_loopback_host(target.netloc):
        raise BundleError(f"the registry leads to http://{target.hostname}, which is not encrypted")
