"""The operator's page at `/`: one HTML file, its style sheet and its scripts; nothing else is
loaded from anywhere.
"""

from pathlib import Path

from fastapi import APIRouter, HTTPException, Response

router = APIRouter(include_in_schema=False)
FOLDER = Path(__file__).parent / "page"
PAGE = "index.html"
SCRIPT = "text/javascript"
SCRIPTS = ("page.js", "service.js", "tray.js", "words.js")
FILES = {"page.css": "text/css", **dict.fromkeys(SCRIPTS, SCRIPT)}
# Scripts and styles from files of the service alone; photos of this machine as blob: and data:.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@router.get("/")
async def page() -> Response:
    return _file(PAGE, "text/html")


@router.get("/static/{name}")
async def static(name: str) -> Response:
    if name not in FILES:
        raise HTTPException(404)
    return _file(name, FILES[name])


def _file(name: str, media_type: str) -> Response:
    return Response((FOLDER / name).read_bytes(), media_type=media_type, headers=HEADERS)
