"""GET /: the page and its files."""

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import FileResponse

from server.page import FILES, MEDIA_TYPES

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page runs, fetches and shows only this server's content, whatever a model writes."""
HEADERS = {
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}

router = APIRouter(include_in_schema=False)


@router.get("/")
@router.get("/page/{file:path}")
async def page(request: Request) -> FileResponse:
    path = FILES.get(request.scope["path"])
    if path is None:
        raise HTTPException(404, "Not Found")
    return FileResponse(path, headers=HEADERS, media_type=MEDIA_TYPES[path.suffix])
