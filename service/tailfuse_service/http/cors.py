"""Pages of other origins may ask, if a setting says so."""

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware

from tailfuse_service.http.asgi import App


def add_cors(app: App, origins: Sequence[str]) -> App:
    """Answers preflights itself, without a key: browsers send none with them. Cookies stay out of it."""
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "Content-Type", "X-API-Key", "X-Request-Id", "X-Routing-Key"],
        expose_headers=["Retry-After", "X-Request-Id"],
    )
