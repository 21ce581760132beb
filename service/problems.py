"""Errors as RFC 9457 problem details, which are Open Inference Protocol errors at the same time."""

from typing import Any, NoReturn

from starlette.exceptions import HTTPException
from starlette.requests import Request

from service.errors import BadRequest, InternalError, MethodNotAllowed, NotFound, ServiceError

MEDIA_TYPE = b"application/problem+json"
URN = "urn:tailfuse:problem:"


def problem_of(error: ServiceError, *, instance: str, request_id: str) -> dict[str, Any]:
    """The body of an error's answer."""
    return {
        "type": URN + error.slug,
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "instance": instance,
        "error": error.detail,  # the Open Inference Protocol's word for it
        "request_id": request_id,
        **error.members,
    }


def as_service_error(error: BaseException) -> ServiceError:
    """The error itself if it is one of ours. The caller learns nothing of any other but that it was."""
    if isinstance(error, ServiceError):
        return error
    unforeseen = InternalError("the service failed; its log says why")
    unforeseen.__cause__ = error
    return unforeseen


def headers_of(error: ServiceError) -> list[tuple[bytes, bytes]]:
    """What HTTP wants said in a header as well."""
    headers = []
    if "retry_after_s" in error.members:
        headers.append((b"retry-after", str(error.members["retry_after_s"]).encode()))
    if "allow" in error.members:
        headers.append((b"allow", ", ".join(error.members["allow"]).encode()))
    return headers


async def raise_as_service_error(request: Request, error: Exception) -> NoReturn:
    """The router's own errors join the tree; the front answers them like any other."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        raise NotFound(f"there is no {request.url.path}")
    if error.status_code == 405:
        allow = sorted((error.headers or {}).get("Allow", "").split(", "))
        raise MethodNotAllowed(
            f"{request.url.path} takes {' or '.join(allow)}, not {request.method}", allow=allow
        )
    raise BadRequest(str(error.detail))
