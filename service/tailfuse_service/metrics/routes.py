"""A path as the label of a metric: one of few, whatever is asked for."""

import re

from tailfuse_service.oip import paths

ROUTES = frozenset((
    "/predict", "/predict/batch", "/model", "/models", "/healthz", "/readyz", "/metrics", "/docs",
    "/openapi.json", "/admin/models", "/admin/load", "/admin/unload", "/admin/reload",
))  # fmt: skip
OF_A_MODEL = re.compile(
    r"(?:/models/[^/]+(?P<version>/versions/[^/]+)?(?P<predict>/predict(?:/batch)?)?"
    r"|/admin/models/[^/]+(?P<admin>/roles|/promote))"
)
OTHER = "other"  # the route of every other path: a scanner must not make a series for each


def route_of(path: str) -> str:
    """The path, if it is one of ours; without the names in it."""
    if path in ROUTES or path in paths.ROUTES:
        return path
    if path.startswith("/v2/"):
        place = paths.place_of(path)
        return OTHER if place is None else place.route
    found = OF_A_MODEL.fullmatch(path)
    if found is None:
        return OTHER
    if found["admin"]:
        return f"/admin/models/{{name}}{found['admin']}"
    return f"/models/{{name}}{'/versions/{version}' if found['version'] else ''}{found['predict'] or ''}"
