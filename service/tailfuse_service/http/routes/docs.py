"""GET /docs: the OpenAPI document in Swagger UI, whose files come from the service itself."""

from fastapi import APIRouter, FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.staticfiles import StaticFiles

DOCS, DOCUMENT, FILES = "/docs", "/openapi.json", "/swagger"
PARAMETERS = {
    "tryItOutEnabled": True, "persistAuthorization": True, "filter": True, "displayRequestDuration": True
}  # fmt: skip


def docs_routes(root_path: str, *, at_root: bool) -> APIRouter:
    """Return the routes; / leads to them if `at_root`.

    `root_path` is before every path of a link, as the client's proxy expects it.

    Links have no host: behind a proxy only the client knows which one it has called, and by which scheme.
    """
    router = APIRouter(include_in_schema=False)
    page = get_swagger_ui_html(
        openapi_url=root_path + DOCUMENT,
        title="tailfuse",
        swagger_js_url=f"{root_path}{FILES}/swagger-ui-bundle.js",
        swagger_css_url=f"{root_path}{FILES}/swagger-ui.css",
        swagger_favicon_url=f"{root_path}{FILES}/favicon-32x32.png",
        swagger_ui_parameters=PARAMETERS,
    )

    if at_root:

        @router.get("/")
        async def redirect_to_docs() -> RedirectResponse:
            return RedirectResponse(root_path + DOCS)

    @router.get(DOCS)
    async def show_docs() -> HTMLResponse:
        return page

    return router


def mount_docs_files(api: FastAPI) -> None:
    """Serve Swagger UI's script, style and icon."""
    api.mount(FILES, StaticFiles(packages=[("fastapi_swagger", "resources")]))
