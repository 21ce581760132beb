"""The protocol's addresses, and gRPC's methods as if they were some: what is counted goes by these."""

import re
from typing import NamedTuple

GRPC = "grpc/"  # before a method's name
METHODS = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")
HEALTH = ("/v2/health/live", "/v2/health/ready")
OPEN = (*HEALTH, f"{GRPC}ServerLive", f"{GRPC}ServerReady")  # ask for no key
FIXED = frozenset(("/v2", *HEALTH))
ROUTES = FIXED | {GRPC + method for method in METHODS}
MODEL = re.compile(r"/v2/models/(?P<model>[^/]+)(?:/versions/(?P<version>[^/]+))?(?:/(?P<verb>ready|infer))?")


class Place(NamedTuple):
    """What a path is about: `verb` is `infer`, `ready` or None, which asks for metadata."""

    route: str  # without the names in it
    model: str | None = None
    version: str | None = None
    verb: str | None = None


def place_of(path: str) -> Place | None:
    """None if there is nothing at the path."""
    if path == "/v2/":  # the protocol's OpenAPI document has this, its text the other
        path = "/v2"
    if path in FIXED:
        return Place(path)
    found = MODEL.fullmatch(path)
    if found is None:
        return None
    model, version, verb = found.groups()
    route = "/v2/models/{name}" + ("/versions/{version}" if version else "") + (f"/{verb}" if verb else "")
    return Place(route, model, version, verb)
