"""GET / and below /console/: a page that shows the model at work, and the model as this page needs it.

The files are the package's own and hold no data, so they need no key. What they ask for does.
"""

import gzip
import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from tailfuse_service.bundle import Bundle
from tailfuse_service.bundle.files import MAX_REPORT_BYTES, REPORT
from tailfuse_service.bundle.manifest import Reference
from tailfuse_service.errors import NotFound, clipped
from tailfuse_service.http.openapi.examples import is_accepted
from tailfuse_service.http.openapi.schemas import ModelInfo
from tailfuse_service.http.paths import CONSOLE, CONSOLE_CARD, CONSOLE_FILES, CONSOLE_MODEL, CONSOLE_REPORT
from tailfuse_service.http.routes.model import describe_model
from tailfuse_service.models.registry import ModelRegistry
from tailfuse_service.settings import Settings

FOLDER = Path(__file__).parents[2] / "console"
PAGE, FRAME = "index.html", "about/frame.html"
# Not the system's table, which may lack a type or have another: a browser refuses a module of another type.
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}  # fmt: skip
# The page runs its own scripts and asks its own service, nothing else. Images are those that the user chose.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; frame-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
# A report is written by whoever makes the bundle. It has a style and images of its own, and no script runs.
REPORT_RULES = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'"
)
REPORT_POLICY = f"sandbox; {REPORT_RULES}; frame-ancestors 'none'"
# A browser sends no key for an address, so the page asks for a report and writes it into this frame. For that
# the frame has the page's origin, and therefore no script.
FRAME_POLICY = f"sandbox allow-same-origin; {REPORT_RULES}; frame-ancestors 'self'"
SAFETY = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}
GZIP = re.compile(r"(?:^|[,\s])gzip(?:\s*;\s*q=([01](?:\.\d{0,3})?))?\s*(?:,|$)", re.IGNORECASE)
REVALIDATE, FOREVER = "no-cache", "public, max-age=31536000, immutable"


class ConsoleFile(NamedTuple):
    """A file of the page, as it is and compressed, and the ETag of both, which is therefore a weak one."""

    content: bytes
    compressed: bytes
    media_type: str
    etag: str
    policy: str


class ConsoleLimits(BaseModel):
    """Limits of one request, so that the page cuts its batches and scales its images accordingly."""

    max_body_bytes: int
    max_items: int
    max_pixels: int


class ConsoleModel(ModelInfo):
    """The model as the page needs it: with example rows, and how its inputs usually are."""

    examples: list[dict[str, Any]]
    example_labels: list[str | None]  # the classes of rows; null where an older bundle does not say
    examples_are_rows: bool  # else they are plausible values, because the bundle carries no row
    shares_report: bool  # by --share-report
    reference: dict[str, Reference]
    limits: ConsoleLimits


def console_routes(registry: ModelRegistry, settings: Settings) -> APIRouter:
    """Return the routes."""
    router = APIRouter(include_in_schema=False)
    files = read_files(FOLDER)
    current = compute_build(files)
    page = make_page(files[PAGE], f"{settings.root_path}{CONSOLE}/{current}")

    @router.api_route("/", methods=["GET", "HEAD"])
    async def show_page(request: Request) -> Response:
        return answer_file(page, request, REVALIDATE)

    @router.api_route(CONSOLE_MODEL, methods=["GET", "HEAD"])
    async def describe(name: str | None = None, version: str | None = None) -> ConsoleModel:
        bundle = find_bundle(registry, name, version)
        modalities = bundle.manifest.modalities
        plausible = {each: modality.example() for each, modality in modalities.items()}
        rows = list_examples(bundle)
        return ConsoleModel(
            **dict(describe_model(bundle, settings)),
            examples=[row.inputs for row in rows] or [plausible],
            example_labels=[row.label for row in rows],
            examples_are_rows=bool(rows),
            shares_report=settings.share_report,
            reference=bundle.manifest.reference,
            limits=ConsoleLimits(
                max_body_bytes=settings.max_body_bytes,
                max_items=settings.max_items,
                max_pixels=settings.max_pixels,
            ),
        )

    @router.api_route(CONSOLE_CARD, methods=["GET", "HEAD"])
    async def show_card(name: str | None = None, version: str | None = None) -> Response:
        card = find_bundle(registry, name, version).card
        if card is None:
            raise NotFound("the bundle has no model card")
        return Response(card, media_type="text/markdown; charset=utf-8", headers=SAFETY)

    @router.api_route(CONSOLE_REPORT, methods=["GET", "HEAD"])
    async def show_report(request: Request, name: str | None = None, version: str | None = None) -> Response:
        bundle = find_bundle(registry, name, version)
        if not settings.share_report:
            raise NotFound("the service does not share reports; start it with --share-report")
        return answer_report(bundle, request)

    @router.api_route(CONSOLE_FILES, methods=["GET", "HEAD"])
    async def show_file(build: str, name: str, request: Request) -> Response:
        if name not in files or name == PAGE:
            raise NotFound(f"the console has no file {clipped(name)}")
        # A page of another release may ask, through a proxy before two of them: it gets what there is.
        return answer_file(files[name], request, FOREVER if build == current else REVALIDATE)

    return router


def find_bundle(registry: ModelRegistry, name: str | None, version: str | None) -> Bundle:
    """Return the bundle of a version, or the stable one. Raises NotReady, UnknownModel."""
    engine = registry.stable(name) if version is None else registry.find(name, version)
    return engine.bundle


class ExampleRow(NamedTuple):
    """A row that the bundle carries, as a request has it, and its label."""

    inputs: dict[str, Any]
    label: str | None


def list_examples(bundle: Bundle) -> list[ExampleRow]:
    """Return the rows that the bundle carries, without those that the limits of this service refuse."""
    manifest = bundle.manifest
    labels = manifest.example_labels or (None,) * len(manifest.examples)
    rows = map(ExampleRow, manifest.examples, labels)
    return [row for row in rows if is_accepted(bundle, row.inputs)]


def read_files(folder: Path) -> Mapping[str, ConsoleFile]:
    """Return the files of a folder and of those below it, by path. Others than a browser's are left out."""
    return {
        path.relative_to(folder).as_posix(): make_file(
            path.read_bytes(), MEDIA_TYPES[path.suffix], FRAME_POLICY if path == folder / FRAME else POLICY
        )
        for path in sorted(folder.rglob("*"))
        if path.suffix in MEDIA_TYPES
    }


def make_file(content: bytes, media_type: str, policy: str) -> ConsoleFile:
    """Return a file with its compressed form and its tag."""
    etag = f'W/"{sha256(content).hexdigest()[:16]}"'
    return ConsoleFile(content, gzip.compress(content, mtime=0), media_type, etag, policy)


def compute_build(files: Mapping[str, ConsoleFile]) -> str:
    """Return what tells these files from those of another release; their addresses have it."""
    parts = [f"{name}{file.etag}{file.policy}" for name, file in files.items()]
    return sha256("".join(parts).encode()).hexdigest()[:12]


def make_page(template: ConsoleFile, folder: str) -> ConsoleFile:
    """Return the page with the address of its files."""
    content = template.content.replace(b"{files}", folder.encode())
    return make_file(content, template.media_type, template.policy)


def answer_file(file: ConsoleFile, request: Request, caching: str) -> Response:
    """Return a file, or 304 to a client that has it."""
    headers = {**SAFETY, "content-security-policy": file.policy, "etag": file.etag}
    headers |= {"cache-control": caching, "vary": "Accept-Encoding"}
    known = [each.strip() for each in request.headers.get("if-none-match", "").split(",")]
    if file.etag in known or file.etag.removeprefix("W/") in known or "*" in known:
        return Response(status_code=304, headers=headers)
    if not accepts_gzip(request.headers.get("accept-encoding", "")):
        return Response(file.content, media_type=file.media_type, headers=headers)
    headers["content-encoding"] = "gzip"
    return Response(file.compressed, media_type=file.media_type, headers=headers)


def answer_report(bundle: Bundle, request: Request) -> Response:
    """Return the report of a bundle. No cache keeps it: it may show rows of the table. Raises NotFound."""
    if bundle.report is None:
        raise NotFound(f"the bundle has no {REPORT}, or one above {MAX_REPORT_BYTES // 2**20} MiB")
    headers = {**SAFETY, "content-security-policy": REPORT_POLICY}
    headers |= {"cache-control": "no-store", "vary": "Accept-Encoding"}
    if not accepts_gzip(request.headers.get("accept-encoding", "")):
        return Response(gzip.decompress(bundle.report), media_type=MEDIA_TYPES[".html"], headers=headers)
    headers["content-encoding"] = "gzip"
    return Response(bundle.report, media_type=MEDIA_TYPES[".html"], headers=headers)


def accepts_gzip(accepted: str) -> bool:
    """Return whether an Accept-Encoding takes gzip; a quality of 0 refuses it.

    >>> accepts_gzip("br, gzip;q=0.5"), accepts_gzip("gzip;q=0")
    (True, False)
    """
    found = GZIP.search(accepted)
    return found is not None and float(found[1] or 1) > 0
