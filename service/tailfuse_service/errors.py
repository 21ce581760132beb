"""Everything that can go wrong while serving, as one tree. Knows nothing of the web.

ServiceError                     status  slug
├─ ClientError                           the caller can mend it
│  ├─ BadRequest                 400     bad-request             the body is not JSON or multipart at all
│  ├─ TooDeep                    400     too-deep                JSON nested too deeply
│  ├─ TooManyParts               400     too-many-parts          the form has too many parts
│  ├─ Unauthorized               401     unauthorized            no key, or none that is known
│  ├─ Forbidden                  403     forbidden               a known key, but not one for this route
│  ├─ NotFound                   404     not-found               no such route
│  ├─ UnknownModel               404     unknown-model           no such model, or no such version of it
│  ├─ UnknownBundle              404     unknown-bundle          nothing of that name in the folder of bundles
│  ├─ MethodNotAllowed           405     method-not-allowed      the route takes another method
│  ├─ Conflict                   409     conflict                what is asked does not go with what is so now
│  ├─ MissingModality            422     missing-modality        nothing to predict from
│  ├─ UnknownModality            422     unknown-modality        a name the model does not have
│  ├─ InvalidInput               422     invalid-input           a value does not fit its modality
│  │  ├─ UnknownColumn           422     unknown-column          a column the modality does not have
│  │  ├─ NotFinite               422     not-finite              NaN, infinity, or too large to tell from it
│  │  ├─ UndecodableImage        422     undecodable-image       the bytes are not a picture that can be read
│  │  ├─ TooManyPixels           422     too-many-pixels         the picture's header says so; none is decoded
│  │  └─ TextTooLong             422     text-too-long           a text or a cell has too many characters
│  ├─ UnusableBundle             422     unusable-bundle         a bundle in the folder cannot be opened
│  ├─ BatchTooLarge              422     batch-too-large         more items than are taken at once
│  ├─ PayloadTooLarge            413     payload-too-large       the body has too many bytes
│  ├─ HeadTooLarge               431     head-too-large          the request line and headers have too many
│  ├─ ReceiveTimeout             408     receive-timeout         the request did not arrive in time
│  └─ UnsupportedMediaType       415     unsupported-media-type  neither JSON nor multipart
└─ ServerError                           the caller cannot
   ├─ Overloaded                 429     overloaded              the queue is full; try again soon
   ├─ TooManyRequests            429     too-many-requests       too many at once; try again soon
   ├─ NotReady                   503     not-ready               no bundle yet, or the service is stopping
   ├─ DeadlineExceeded           504     deadline-exceeded       no answer within the time for one request
   ├─ InferenceFailed            500     inference-failed        the graph failed; the log has the cause
   ├─ InternalError              500     internal-error          anything unforeseen; the log has the cause
   └─ BundleError                500     bundle-error            a bundle cannot be opened
"""

from importlib.metadata import version
from typing import Any, ClassVar

LONGEST = 500  # characters: an error shows what was sent, but does not send all of it back


def clipped(text: str) -> str:
    """The beginning of a text."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def install_hint(extra: str) -> str:
    """Say how to install an extra. tailfuse is on no package index: it comes as a checkout or as a wheel."""
    wheel = f"tailfuse-{version('tailfuse')}-py3-none-any.whl"
    return f"pip install '.[{extra}]' in a checkout, or pip install '{wheel}[{extra}]' beside the wheel"


class ServiceError(Exception):
    """A failure with a stable name. `members` are added to the problem details of the answer."""

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
    status, slug, title = 400, "client-error", "Client error"


class BadRequest(ClientError):
    status, slug, title = 400, "bad-request", "Bad request"


class TooDeep(ClientError):
    status, slug, title = 400, "too-deep", "JSON nested too deeply"


class TooManyParts(ClientError):
    status, slug, title = 400, "too-many-parts", "Too many parts"


class Unauthorized(ClientError):
    status, slug, title = 401, "unauthorized", "Unauthorized"


class Forbidden(ClientError):
    status, slug, title = 403, "forbidden", "Forbidden"


class NotFound(ClientError):
    status, slug, title = 404, "not-found", "Not found"


class UnknownModel(ClientError):
    status, slug, title = 404, "unknown-model", "Unknown model"


class UnknownBundle(ClientError):
    status, slug, title = 404, "unknown-bundle", "Unknown bundle"


class Conflict(ClientError):
    status, slug, title = 409, "conflict", "Conflict"


class UnusableBundle(ClientError):
    status, slug, title = 422, "unusable-bundle", "Bundle cannot be used"


class MethodNotAllowed(ClientError):
    status, slug, title = 405, "method-not-allowed", "Method not allowed"


class MissingModality(ClientError):
    status, slug, title = 422, "missing-modality", "No modality present"


class UnknownModality(ClientError):
    status, slug, title = 422, "unknown-modality", "Unknown modality"


class InvalidInput(ClientError):
    """A value that does not fit. Members: `modality`, `column` (tabular), `expected`, `received`."""

    status, slug, title = 422, "invalid-input", "Invalid input"


class UnknownColumn(InvalidInput):
    status, slug, title = 422, "unknown-column", "Unknown column"


class NotFinite(InvalidInput):
    status, slug, title = 422, "not-finite", "Number not finite"


class UndecodableImage(InvalidInput):
    status, slug, title = 422, "undecodable-image", "Undecodable image"


class TooManyPixels(InvalidInput):
    status, slug, title = 422, "too-many-pixels", "Too many pixels"


class TextTooLong(InvalidInput):
    status, slug, title = 422, "text-too-long", "Text too long"


class BatchTooLarge(ClientError):
    status, slug, title = 422, "batch-too-large", "Batch too large"


class PayloadTooLarge(ClientError):
    status, slug, title = 413, "payload-too-large", "Payload too large"


class HeadTooLarge(ClientError):
    status, slug, title = 431, "head-too-large", "Head too large"


class ReceiveTimeout(ClientError):
    status, slug, title = 408, "receive-timeout", "Receive timeout"


class UnsupportedMediaType(ClientError):
    status, slug, title = 415, "unsupported-media-type", "Unsupported media type"


class ServerError(ServiceError):
    status, slug, title = 500, "server-error", "Server error"


class Overloaded(ServerError):
    """Members: `retry_after_s`, sent as the Retry-After header too."""

    status, slug, title = 429, "overloaded", "Overloaded"


class TooManyRequests(ServerError):
    """Members: as of Overloaded."""

    status, slug, title = 429, "too-many-requests", "Too many requests"


class NotReady(ServerError):
    status, slug, title = 503, "not-ready", "Not ready"


class DeadlineExceeded(ServerError):
    status, slug, title = 504, "deadline-exceeded", "Deadline exceeded"


class InferenceFailed(ServerError):
    status, slug, title = 500, "inference-failed", "Inference failed"


class InternalError(ServerError):
    status, slug, title = 500, "internal-error", "Internal error"


class BundleError(ServerError):
    status, slug, title = 500, "bundle-error", "Bundle cannot be used"
