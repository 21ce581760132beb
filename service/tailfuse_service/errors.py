"""The service's errors as one class tree, independent of HTTP.

ServiceError                     status  slug
├─ ClientError                           the client can correct it
│  ├─ BadRequest                 400     bad-request             the request or its body is malformed
│  ├─ TooDeep                    400     too-deep                JSON nested too deeply
│  ├─ TooManyValues              400     too-many-values         the JSON has too many values
│  ├─ TooManyParts               400     too-many-parts          the form has too many parts
│  ├─ Unauthorized               401     unauthorized            no key, or an unknown one
│  ├─ Forbidden                  403     forbidden               a known key without access to this route
│  ├─ NotFound                   404     not-found               no such route
│  ├─ UnknownModel               404     unknown-model           no such model, or no such version of it
│  ├─ UnknownBundle              404     unknown-bundle          no bundle of that name in the folder
│  ├─ MethodNotAllowed           405     method-not-allowed      the route does not support the method
│  ├─ Conflict                   409     conflict                the request conflicts with the current state
│  ├─ MissingModality            422     missing-modality        nothing to predict from
│  ├─ UnknownModality            422     unknown-modality        a modality that the model does not have
│  ├─ InvalidInput               422     invalid-input           a value does not match its schema
│  │  ├─ UnknownColumn           422     unknown-column          a column that the modality does not have
│  │  ├─ NotFinite               422     not-finite              NaN, infinity, or too large for float32
│  │  ├─ UndecodableImage        422     undecodable-image       the bytes are not a readable image
│  │  ├─ TooManyPixels           422     too-many-pixels         too many, by its header; none is decoded
│  │  └─ TextTooLong             422     text-too-long           a text or a cell has too many characters
│  ├─ UnusableBundle             422     unusable-bundle         a bundle in the folder cannot be opened
│  ├─ BatchTooLarge              422     batch-too-large         more items than the limit
│  ├─ PayloadTooLarge            413     payload-too-large       the body is longer than the limit
│  ├─ HeadTooLarge               431     head-too-large          the request line and headers are too long
│  ├─ ReceiveTimeout             408     receive-timeout         the request was not received in time
│  └─ UnsupportedMediaType       415     unsupported-media-type  the content type or encoding is not accepted
└─ ServerError                           the client cannot
   ├─ Overloaded                 429     overloaded              the queue is full; try again soon
   ├─ TooManyRequests            429     too-many-requests       too many in flight; try again soon
   ├─ NotReady                   503     not-ready               no bundle yet, or the service is stopping
   ├─ DeadlineExceeded           504     deadline-exceeded       no answer within the request timeout
   ├─ InferenceFailed            500     inference-failed        the graph failed; the log has the cause
   ├─ InternalError              500     internal-error          an unexpected error; the log has the cause
   └─ BundleError                500     bundle-error            a bundle cannot be opened
"""

from importlib.metadata import version
from typing import Any, ClassVar

MAX_DETAIL_CHARS = 500  # an error shows the start of a wrong value, never all of a large request


def clipped(text: str) -> str:
    """Return the text, shortened to MAX_DETAIL_CHARS. Half a surrogate pair, which JSON cannot hold, is ?."""
    text = text if len(text) <= MAX_DETAIL_CHARS else f"{text[:MAX_DETAIL_CHARS]}…"
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def install_hint(extra: str) -> str:
    """Say how to install an extra. tailfuse is on no package index: it comes as a checkout or as a wheel."""
    wheel = f"tailfuse-{version('tailfuse')}-py3-none-any.whl"
    return f"pip install '.[{extra}]' in a checkout, or pip install '{wheel}[{extra}]' beside the wheel"


class ServiceError(Exception):
    """An error with a stable slug. `members` are added to the problem details."""

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "error"
    title: ClassVar[str] = "Error"

    def __init__(self, detail: str, **members: Any) -> None:
        self.detail = clipped(detail)
        self.members = {
            name: clipped(value) if isinstance(value, str) else value for name, value in members.items()
        }
        super().__init__(self.detail)


class ClientError(ServiceError):
    """A fault that the client can correct."""

    status, slug, title = 400, "client-error", "Client error"


class BadRequest(ClientError):
    """The request or its body is malformed."""

    status, slug, title = 400, "bad-request", "Bad request"


class TooDeep(ClientError):
    """The JSON is nested too deeply."""

    status, slug, title = 400, "too-deep", "JSON nested too deeply"


class TooManyValues(ClientError):
    """The JSON has too many values."""

    status, slug, title = 400, "too-many-values", "Too many values"


class TooManyParts(ClientError):
    """The form has too many parts."""

    status, slug, title = 400, "too-many-parts", "Too many parts"


class Unauthorized(ClientError):
    """The request has no key, or an unknown one."""

    status, slug, title = 401, "unauthorized", "Unauthorized"


class Forbidden(ClientError):
    """The key is known and has no access to this route."""

    status, slug, title = 403, "forbidden", "Forbidden"


class NotFound(ClientError):
    """No such route."""

    status, slug, title = 404, "not-found", "Not found"


class UnknownModel(ClientError):
    """No such model, or no such version of it."""

    status, slug, title = 404, "unknown-model", "Unknown model"


class UnknownBundle(ClientError):
    """No bundle of that name in the folder."""

    status, slug, title = 404, "unknown-bundle", "Unknown bundle"


class Conflict(ClientError):
    """The request conflicts with the current state."""

    status, slug, title = 409, "conflict", "Conflict"


class UnusableBundle(ClientError):
    """A bundle in the folder cannot be opened."""

    status, slug, title = 422, "unusable-bundle", "Bundle cannot be used"


class MethodNotAllowed(ClientError):
    """The route does not support the method."""

    status, slug, title = 405, "method-not-allowed", "Method not allowed"


class MissingModality(ClientError):
    """No modality is present, so there is nothing to predict from."""

    status, slug, title = 422, "missing-modality", "No modality present"


class UnknownModality(ClientError):
    """A modality that the model does not have."""

    status, slug, title = 422, "unknown-modality", "Unknown modality"


class InvalidInput(ClientError):
    """A value that does not match its schema. Members: `modality`, `column`, `expected`, `received`."""

    status, slug, title = 422, "invalid-input", "Invalid input"


class UnknownColumn(InvalidInput):
    """A column that the modality does not have."""

    status, slug, title = 422, "unknown-column", "Unknown column"


class NotFinite(InvalidInput):
    """A number is NaN, infinite, or too large for float32."""

    status, slug, title = 422, "not-finite", "Number not finite"


class UndecodableImage(InvalidInput):
    """The bytes of an image cannot be read as one."""

    status, slug, title = 422, "undecodable-image", "Undecodable image"


class TooManyPixels(InvalidInput):
    """An image has too many pixels, by its header; none is decoded."""

    status, slug, title = 422, "too-many-pixels", "Too many pixels"


class TextTooLong(InvalidInput):
    """A text or a cell has too many characters."""

    status, slug, title = 422, "text-too-long", "Text too long"


class BatchTooLarge(ClientError):
    """A batch has more items than the limit."""

    status, slug, title = 422, "batch-too-large", "Batch too large"


class PayloadTooLarge(ClientError):
    """The body is longer than the limit."""

    status, slug, title = 413, "payload-too-large", "Payload too large"


class HeadTooLarge(ClientError):
    """The request line and headers are too long."""

    status, slug, title = 431, "head-too-large", "Head too large"


class ReceiveTimeout(ClientError):
    """The request was not received in time."""

    status, slug, title = 408, "receive-timeout", "Receive timeout"


class UnsupportedMediaType(ClientError):
    """The content type or encoding is not accepted here."""

    status, slug, title = 415, "unsupported-media-type", "Unsupported media type"


class ServerError(ServiceError):
    """A fault that the client cannot correct."""

    status, slug, title = 500, "server-error", "Server error"


class Overloaded(ServerError):
    """Members: `retry_after_s`, which is also the Retry-After header."""

    status, slug, title = 429, "overloaded", "Overloaded"


class TooManyRequests(ServerError):
    """Members: as in Overloaded."""

    status, slug, title = 429, "too-many-requests", "Too many requests"


class NotReady(ServerError):
    """There is no bundle yet, or the service is stopping."""

    status, slug, title = 503, "not-ready", "Not ready"


class DeadlineExceeded(ServerError):
    """No answer within the request timeout."""

    status, slug, title = 504, "deadline-exceeded", "Deadline exceeded"


class InferenceFailed(ServerError):
    """The graph failed; the log has the cause."""

    status, slug, title = 500, "inference-failed", "Inference failed"


class InternalError(ServerError):
    """An unexpected error; the log has the cause."""

    status, slug, title = 500, "internal-error", "Internal error"


class BundleError(ServerError):
    """A bundle cannot be opened."""

    status, slug, title = 500, "bundle-error", "Bundle cannot be used"
