"""A bundle behind a web server, over HTTPS. It is read only."""

from collections.abc import Iterator, Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from tailfuse_service.bundle import BundleError
from tailfuse_service.stores.address import Address, is_loopback_host
from tailfuse_service.stores.fsspec_store import has_manifest
from tailfuse_service.stores.store import CONNECT_S, PIECE_BYTES, READ_S, RemoteBundle, Report

if TYPE_CHECKING:
    from fsspec.implementations.http import HTTPFileSystem

MAX_INDEX_BYTES = 4 * 1024 * 1024  # of a page that lists a folder


class HttpStore:
    """A folder of a web server: a bundle, or a page with links to a folder for each bundle.

    Credentials are those of ~/.netrc or of the file that NETRC names. Raises ImportError without aiohttp.
    """

    def __init__(self, address: Address) -> None:
        import aiohttp
        from fsspec.implementations.http import HTTPFileSystem

        trace = aiohttp.TraceConfig()
        trace.on_request_redirect.append(refuse_plain_redirect)
        self._url = str(address)
        self._files = HTTPFileSystem(
            skip_instance_cache=True,
            client_kwargs={
                "timeout": aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=READ_S),
                "trace_configs": [trace],
                "trust_env": True,
            },
        )

    def find(self) -> Mapping[str, RemoteBundle]:
        """Return the bundle at the address, or those in the folders that its page links to."""
        at_root = HttpBundle(self._files, self._url)
        if has_manifest(at_root):
            return {"": at_root}
        index, size = [], 0
        for piece in HttpBundle(self._files, self._url).stream(""):
            index.append(piece)
            size += len(piece)
            if size > MAX_INDEX_BYTES:
                raise BundleError(f"{self._url} lists more than {MAX_INDEX_BYTES:,} bytes")
        links = FolderLinks()
        links.feed(b"".join(index).decode(errors="replace"))
        return {name: HttpBundle(self._files, f"{self._url}/{name}") for name in links.names}

    def write(self, files: Sequence[Path], report: Report) -> None:
        """Raises BundleError: there is no standard way to upload."""
        raise BundleError(f"{self._url} can only be read; copy the folder to the server by other means")


class HttpBundle:
    """A folder of a web server with the files of a bundle."""

    def __init__(self, files: "HTTPFileSystem", url: str) -> None:
        self._files = files
        self._url = url

    def stream(self, file: str) -> Iterator[bytes]:
        """Yield a file in pieces. Raises FileNotFoundError, aiohttp's errors."""
        # A block size of 0 reads the answer as it comes; with a size, nothing is asked about it before.
        with self._files.open(f"{self._url}/{file}", "rb", block_size=0, size=1) as content:
            while piece := content.read(PIECE_BYTES):
                yield piece


class FolderLinks(HTMLParser):
    """Collects the names of the folders beside a page that it links to, as web servers list them."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        target = unquote(dict(attrs).get("href") or "") if tag == "a" else ""
        name = target.removeprefix("./").removesuffix("/")
        if target.endswith("/") and name and not set(name) & set("/?#:\\") and name not in self.names:
            self.names.append(name)


async def refuse_plain_redirect(_: Any, __: SimpleNamespace, params: Any) -> None:
    """Follow a redirect to https only, or to this machine. Raises BundleError."""
    location = params.response.headers.get("Location", "")
    parts = urlsplit(location)
    if parts.scheme == "http" and not is_loopback_host(parts.netloc):
        raise BundleError(f"{params.url} leads to http://{parts.hostname}, which is not encrypted")
