"""GET /docs: the OpenAPI document in Swagger UI, whose files come from the service itself."""

import json
from string import Template

from fastapi import APIRouter, FastAPI
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.staticfiles import StaticFiles

from tailfuse_service.http.paths import DOCS_FILES

DOCS, DOCUMENT = "/docs", "/openapi.json"
OPTIONS = {
    "dom_id": "#swagger-ui", "deepLinking": True, "tryItOutEnabled": True, "persistAuthorization": True,
    "filter": True, "displayRequestDuration": True,
}  # fmt: skip
# Swagger UI sends an empty part for each field of a form that nobody has filled in. Such a part means that
# the modality is absent, but the request that is shown and sent is to have only what was filled in.
PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1.0">
<link rel="stylesheet" href="$files/swagger-ui.css">
<link rel="icon" href="$files/favicon-32x32.png">
<title>tailfuse</title>
</head>
<body>
<div id="swagger-ui"></div>
<script src="$files/swagger-ui-bundle.js"></script>
<script>
function removeEmptyParts(request) {
  if (request.body instanceof FormData) {
    for (const [name, value] of [...request.body]) {
      if (value === "" || value.size === 0) request.body.delete(name);
    }
  }
  return request;
}
SwaggerUIBundle({ url: '$document', ...$options, requestInterceptor: removeEmptyParts });
</script>
</body>
</html>
""")


def docs_routes(root_path: str, *, at_root: bool) -> APIRouter:
    """Return the routes; / leads to them if `at_root`.

    `root_path` is before every path of a link, as the client's proxy expects it.

    Links have no host: behind a proxy only the client knows which one it has called, and by which scheme.
    """
    router = APIRouter(include_in_schema=False)
    addresses = {"document": root_path + DOCUMENT, "files": root_path + DOCS_FILES}
    page = HTMLResponse(PAGE.substitute(addresses, options=json.dumps(OPTIONS)))

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
    api.mount(DOCS_FILES, StaticFiles(packages=[("fastapi_swagger", "resources")]))
