"""The pages of the live quiz: /live/host for the teacher, /live/join for the pupils; their parts lie under /web."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from starlette.responses import FileResponse

_WEB = Path(__file__).resolve().parents[2] / "web"
PATHS = ("/live/host", "/live/join")
router = APIRouter(include_in_schema=False)


@router.get("/live/host")
async def host_page() -> FileResponse:
    """The page on which a teacher leads a quiz; it asks him to log in."""
    return FileResponse(_WEB / "live-host.html")


@router.get("/live/join")
async def join_page() -> FileResponse:
    """The page with which a pupil takes part; it asks him to log in."""
    return FileResponse(_WEB / "live-join.html")
