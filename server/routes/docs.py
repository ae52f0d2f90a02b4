"""GET /docs: the OpenAPI document as a page. Its files are local; nothing is fetched from elsewhere."""

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.staticfiles import StaticFiles
from starlette.responses import HTMLResponse
from starlette.routing import Mount

router = APIRouter(include_in_schema=False)

assets = Mount("/docs/assets", StaticFiles(packages=[("fastapi_swagger", "resources")]))


@router.get("/docs")
async def docs() -> HTMLResponse:
    """The page. Its paths are relative, so that it works behind a prefix."""
    return get_swagger_ui_html(
        openapi_url="openapi.json",
        title="Carousel",
        swagger_js_url="docs/assets/swagger-ui-bundle.js",
        swagger_css_url="docs/assets/swagger-ui.css",
        swagger_favicon_url="docs/assets/favicon-32x32.png",
    )
