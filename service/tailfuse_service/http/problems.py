"""Errors as RFC 9457 problem details, which are also valid errors of the Open Inference Protocol."""

import logging
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tailfuse_service.errors import (
    BadRequest,
    InternalError,
    MethodNotAllowed,
    NotFound,
    ServiceError,
    clipped,
)
from tailfuse_service.http.asgi import Scope, header
from tailfuse_service.http.tracing import parse_trace_id
from tailfuse_service.logs import LOG
from tailfuse_service.metrics import Metrics

MEDIA_TYPE = "application/problem+json"
URN = "urn:tailfuse:problem:"


def make_problem(error: ServiceError, *, instance: str, request_id: str) -> dict[str, Any]:
    """Return the problem document of an error."""
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
    """Return a ServiceError as it is, and InternalError for any other: clients see no details of it."""
    if isinstance(error, ServiceError):
        return error
    unforeseen = InternalError("internal error; see the service's log")
    unforeseen.__cause__ = error
    return unforeseen


def convert_router_error(error: HTTPException, scope: Scope) -> ServiceError:
    """Convert an error of FastAPI's router into a ServiceError."""
    if error.status_code == 404:
        return NotFound(f"no route {scope['path']}")
    if error.status_code == 405:
        allow = sorted((error.headers or {}).get("Allow", "").split(", "))
        return MethodNotAllowed(
            f"{scope['path']} takes {' or '.join(allow)}, not {scope['method']}", allow=allow
        )
    return BadRequest(error.detail)


def log_and_make_problem(
    error: BaseException, scope: Scope, metrics: Metrics, fragment: str = ""
) -> dict[str, Any]:
    """Count and log an error, and return its problem. The log contains nothing that the client sent."""
    known = (
        convert_router_error(error, scope) if isinstance(error, HTTPException) else as_service_error(error)
    )
    metrics.count_problem(known.slug)
    LOG.log(
        choose_log_level(known),
        known.title,
        extra={
            **describe_request(scope, known.status),
            "slug": known.slug,
            **{key: known.members[key] for key in ("modality", "column") if key in known.members},
        },
        exc_info=known if known.status == 500 else None,
    )
    return make_problem(known, instance=clipped(scope["path"]) + fragment, request_id=scope["request_id"])


def log_request(scope: Scope, status: int, seconds: float) -> None:
    """Log one finished request."""
    LOG.info("Request", extra={**describe_request(scope, status), "seconds": round(seconds, 6)})


def describe_request(scope: Scope, status: int) -> dict[str, Any]:
    """Return the fields that every log line about a request has."""
    trace_id = parse_trace_id(header(scope, b"traceparent"))
    return {
        "request_id": scope["request_id"],
        **({} if trace_id is None else {"trace_id": trace_id}),
        "method": scope["method"],
        "path": clipped(scope["path"]),
        "status": status,
    }


def choose_log_level(error: ServiceError) -> int:
    """Return the level at which a problem is logged."""
    if error.status == 429:
        return logging.DEBUG  # under overload, a line for each request would add to the load
    return logging.ERROR if error.status == 500 else logging.INFO


def make_response(problem: dict[str, Any], media_type: str = MEDIA_TYPE) -> Response:
    """Return the HTTP response of a problem, with the headers that its status needs."""
    headers = {}
    if "retry_after_s" in problem:
        headers["Retry-After"] = str(problem["retry_after_s"])
    if "allow" in problem:
        headers["Allow"] = ", ".join(problem["allow"])
    if problem["status"] == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(orjson.dumps(problem), problem["status"], headers, media_type)
