"""Cross-origin requests (CORS), for the origins in the settings."""

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware

from tailfuse_service.http.asgi import App


def add_cors(app: App, origins: Sequence[str]) -> App:
    """Wrap an application with CORS. Preflight requests need no key, as browsers send none; no cookies."""
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "Content-Type", "X-API-Key", "X-Request-Id", "X-Routing-Key"],
        expose_headers=["Retry-After", "X-Request-Id"],
    )
