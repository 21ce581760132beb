"""The grammar of paths: which route a path is, which model it names, and who may ask it.

The router, the Open Inference Protocol, the check of keys, metrics, traces and the OpenAPI document all use
this table, so that none of them can read a path in another way. A path is what the server makes of the
request line by percent-decoding it once; a model's name may thus hold any character but a slash.
"""

import re
from collections.abc import MutableMapping
from enum import StrEnum
from typing import Any, Final, NamedTuple


class Endpoint(StrEnum):
    """The endpoint of a route. Those of the protocol have the names of its gRPC methods."""

    API = "API"  # a route of FastAPI, or no route at all
    PREDICT = "Predict"
    PREDICT_BATCH = "PredictBatch"
    SERVER_LIVE = "ServerLive"
    SERVER_READY = "ServerReady"
    SERVER_METADATA = "ServerMetadata"
    MODEL_READY = "ModelReady"
    MODEL_METADATA = "ModelMetadata"
    MODEL_INFER = "ModelInfer"
    NO_METHOD = "NoMethod"  # a path of the protocol that is none of its routes


class Access(StrEnum):
    """Which key a route needs."""

    OPEN = "open"  # none: health checks and scrapers have no key
    PAGE = "page"  # none: the files of the console, which hold no data
    CLIENT = "client"
    ADMIN = "admin"


class RouteMatch(NamedTuple):
    """One request's route, parsed once. `label` is the route's template, or OTHER."""

    label: str
    endpoint: Endpoint
    access: Access
    model: str | None = None
    version: str | None = None
    modality: str | None = None  # the only one that the body holds


PREDICT: Final = "/predict"
PREDICT_BATCH: Final = "/predict/batch"
PREDICT_MODALITY: Final = f"{PREDICT}/{{modality}}"
MODEL: Final = "/models/{name}"
MODEL_VERSION: Final = "/models/{name}/versions/{version}"
HEALTHZ, READYZ, METRICS = "/healthz", "/readyz", "/metrics"
SCOPE_KEY: Final = "tailfuse.route"
V2: Final = "/v2"
ADMIN: Final = "/admin"
# The console: its page is at /, its files lie below, and three routes describe a model for it.
CONSOLE: Final = "/console"
CONSOLE_MODEL: Final = f"{CONSOLE}/model.json"
CONSOLE_CARD: Final = f"{CONSOLE}/card.md"
CONSOLE_REPORT: Final = f"{CONSOLE}/report.html"
CONSOLE_FILES: Final = f"{CONSOLE}/{{build}}/{{name:path}}"
DOCS_FILES: Final = "/swagger"  # Swagger UI's files lie below; they are no routes of their own
OTHER: Final = "other"  # one label for all unknown paths: a scanner must not create a series for each

# Every route below one of these is of one model: the default one, or the one that the path names.
MODEL_PREFIXES = ("", MODEL, MODEL_VERSION)

ENDPOINTS: dict[str, Endpoint] = {
    **{prefix + PREDICT: Endpoint.PREDICT for prefix in MODEL_PREFIXES},
    **{prefix + PREDICT_MODALITY: Endpoint.PREDICT for prefix in MODEL_PREFIXES},
    **{prefix + PREDICT_BATCH: Endpoint.PREDICT_BATCH for prefix in MODEL_PREFIXES},
    **dict.fromkeys(("/model", "/models", MODEL, MODEL_VERSION), Endpoint.API),
    **dict.fromkeys((HEALTHZ, READYZ, METRICS, "/docs", "/openapi.json"), Endpoint.API),
    **dict.fromkeys((f"{ADMIN}/{each}" for each in ("models", "load", "unload", "reload")), Endpoint.API),
    **dict.fromkeys((f"{ADMIN}{MODEL}/{each}" for each in ("roles", "promote")), Endpoint.API),
    **dict.fromkeys(("/", CONSOLE_MODEL, CONSOLE_CARD, CONSOLE_REPORT, CONSOLE_FILES), Endpoint.API),
    V2: Endpoint.SERVER_METADATA,
    f"{V2}/health/live": Endpoint.SERVER_LIVE,
    f"{V2}/health/ready": Endpoint.SERVER_READY,
    **{V2 + prefix: Endpoint.MODEL_METADATA for prefix in MODEL_PREFIXES[1:]},
    **{f"{V2}{prefix}/ready": Endpoint.MODEL_READY for prefix in MODEL_PREFIXES[1:]},
    **{f"{V2}{prefix}/infer": Endpoint.MODEL_INFER for prefix in MODEL_PREFIXES[1:]},
}
OPEN_ROUTES = frozenset((HEALTHZ, READYZ, METRICS))
PAGE_ROUTES = frozenset(("/", CONSOLE_FILES))
OPEN_ENDPOINTS = frozenset((Endpoint.SERVER_LIVE, Endpoint.SERVER_READY))
PROTOCOL_METHODS = (
    Endpoint.SERVER_LIVE,
    Endpoint.SERVER_READY,
    Endpoint.MODEL_READY,
    Endpoint.SERVER_METADATA,
    Endpoint.MODEL_METADATA,
    Endpoint.MODEL_INFER,
)

NAMES = re.compile(
    r"(?P<root>/v2|/admin)?/models/(?P<model>[^/]+)(?:/versions/(?P<version>[^/]+))?(?P<rest>/.*)?",
    re.DOTALL,  # a name may hold a line break
)
FILE = re.compile(rf"{CONSOLE}/[^/]+/.*", re.DOTALL)


def find_access(path: str, endpoint: Endpoint) -> Access:
    """Return which key a path needs; also one that is no route, so that an answer tells nothing of routes."""
    if path in OPEN_ROUTES or endpoint in OPEN_ENDPOINTS:
        return Access.OPEN
    if path in PAGE_ROUTES:
        return Access.PAGE
    return Access.ADMIN if path.startswith(f"{ADMIN}/") else Access.CLIENT


def make_unknown(path: str) -> RouteMatch:
    """Return the match of a path that is no route."""
    endpoint = Endpoint.NO_METHOD if path.startswith(f"{V2}/") else Endpoint.API
    return RouteMatch(OTHER, endpoint, find_access(path, endpoint))


ROUTES = {
    # A sample is counted as one, however its body holds it: as JSON, as a form or as the value of a modality.
    template: RouteMatch(template.removesuffix("/{modality}"), endpoint, find_access(template, endpoint))
    for template, endpoint in ENDPOINTS.items()
}
FIXED = {template: route for template, route in ROUTES.items() if "{" not in template}
FIXED[f"{V2}/"] = FIXED[V2]  # the protocol's OpenAPI document has the slash, its text does not
# gRPC's methods are no paths, but are counted and checked as if they were.
GRPC_ROUTES = {
    method: RouteMatch(
        f"grpc/{method}", method, Access.OPEN if method in OPEN_ENDPOINTS else Access.CLIENT
    )
    for method in PROTOCOL_METHODS
}  # fmt: skip


def match_path(path: str) -> RouteMatch:
    """Return the route of a percent-decoded path; one that is unknown has the label OTHER.

    >>> match_path("/models/digits/versions/2/predict")[:1]
    ('/models/{name}/versions/{version}/predict',)
    """
    route = FIXED.get(path)
    if route is not None:
        return route
    if FILE.fullmatch(path):
        return ROUTES[CONSOLE_FILES]
    found = NAMES.fullmatch(path)
    root, model, version, rest = ("", "", "", path) if found is None else found.groups(default="")
    prefix = root + (MODEL_VERSION if version else MODEL if model else "")
    rest, modality = split_modality(rest)
    route = ROUTES.get(prefix + rest)
    if route is None:
        return make_unknown(path)
    return route._replace(model=model or None, version=version or None, modality=modality)


def split_modality(rest: str) -> tuple[str, str | None]:
    """Return the template of what follows the model in a path, and the modality that it names, if any.

    >>> split_modality("/predict/image"), split_modality("/predict/batch")
    (('/predict/{modality}', 'image'), ('/predict/batch', None))
    """
    root, _, modality = rest.rpartition("/")
    if root != PREDICT or not modality or rest == PREDICT_BATCH:
        return rest, None
    return PREDICT_MODALITY, modality


def find_route(scope: MutableMapping[str, Any]) -> RouteMatch:
    """Return the route of an ASGI scope; it is parsed once and kept there."""
    route: RouteMatch | None = scope.get(SCOPE_KEY)
    if route is None:
        route = scope[SCOPE_KEY] = match_path(scope["path"])
    return route
