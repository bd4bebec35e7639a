"""`/docs`: Swagger UI. What it loads it asks for beside itself, so that it works at whatever path a proxy has it."""

from fastapi import APIRouter, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html

router = APIRouter(include_in_schema=False)

STATIC = "static-offline-docs"  # where FastAPIOffline has the files
LOOKS = {"tryItOutEnabled": True, "displayRequestDuration": True, "docExpansion": "list"}


@router.get("/docs")
async def page(request: Request) -> Response:
    """The page."""
    return get_swagger_ui_html(
        openapi_url="openapi.json",
        title=f"{request.app.title} - Swagger UI",
        swagger_js_url=f"{STATIC}/swagger-ui-bundle.js",
        swagger_css_url=f"{STATIC}/swagger-ui.css",
        swagger_favicon_url=f"{STATIC}/favicon.png",
        swagger_ui_parameters=LOOKS,
    )
