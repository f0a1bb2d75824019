"""/docs: Swagger UI from an installed package, so that it works without internet access."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

from fastapi import APIRouter, FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import FileResponse, HTMLResponse, JSONResponse

_SCRIPT: Final = "swagger-ui-bundle.js"
_STYLE: Final = "swagger-ui.css"


def build_docs_router(described: FastAPI) -> APIRouter:
    """Return the page, its two files and the OpenAPI document of the application that it describes.

    All addresses in the page are relative, so that it works behind any prefix.
    """
    router = APIRouter(include_in_schema=False)
    # Only the files of this package are used. It follows the releases of Swagger UI and depends only on FastAPI.
    static = Path(str(files("fastapi_offline") / "static"))
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title="OneBar",
        swagger_js_url=f"docs/{_SCRIPT}",
        swagger_css_url=f"docs/{_STYLE}",
        swagger_favicon_url="data:,",
        swagger_ui_parameters={"validatorUrl": None},  # a validator would get the document's address
    )

    @router.get("/docs")
    async def docs() -> HTMLResponse:
        return page

    @router.get("/openapi.json")
    async def document() -> JSONResponse:
        return JSONResponse(described.openapi())

    @router.get(f"/docs/{_SCRIPT}")
    async def script() -> FileResponse:
        return FileResponse(static / _SCRIPT, media_type="text/javascript")

    @router.get(f"/docs/{_STYLE}")
    async def style() -> FileResponse:
        return FileResponse(static / _STYLE, media_type="text/css")

    return router
