"""/docs: Swagger UI, served from an installed package, so that it works where the network ends at the cluster."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import FileResponse, HTMLResponse

_SCRIPT: Final = "swagger-ui-bundle.js"
_STYLE: Final = "swagger-ui.css"


def build_docs_router() -> APIRouter:
    """The page and its two files. All addresses in it are relative: it may lie behind any prefix."""
    router = APIRouter(include_in_schema=False)
    # Of this package only the files are used; it is made anew with each Swagger UI, and needs nothing but FastAPI.
    static = Path(str(files("fastapi_offline") / "static"))
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title="OneBar",
        swagger_js_url=f"docs/{_SCRIPT}",
        swagger_css_url=f"docs/{_STYLE}",
        swagger_favicon_url="data:,",
        swagger_ui_parameters={"validatorUrl": None},  # it would send the document's address to a public service
    )

    @router.get("/docs")
    async def docs() -> HTMLResponse:
        return page

    @router.get(f"/docs/{_SCRIPT}")
    async def script() -> FileResponse:
        return FileResponse(static / _SCRIPT, media_type="text/javascript")

    @router.get(f"/docs/{_STYLE}")
    async def style() -> FileResponse:
        return FileResponse(static / _STYLE, media_type="text/css")

    return router
