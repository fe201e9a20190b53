"""Is the service well?  /health in full, /health/live for restarts, /health/ready for the balancer, /metrics."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from api.deps import Services, ServicesDep
from api.envelope import JsonResponse
from api.limits.rates import limited
from core.errors import EduError

router = APIRouter(tags=["health"], dependencies=[Depends(limited("none"))])
_PATIENCE_SECONDS = 5
_LEAST_FREE = 0.05


def product_version() -> str:
    """The version of the installed package."""
    try:
        return version("eduanalytics")
    except PackageNotFoundError:
        return "0.0.0+source"


@router.get("/health", responses={503: {"description": "A part is away."}})
async def health(services: ServicesDep) -> Response:
    """Each part with `ok` or what is wrong with it; 503 when one is away."""
    checks = await _checks(services)
    well = all(state == "ok" for state in checks.values())
    body = {
        "status": "healthy" if well else "unhealthy",
        "version": product_version(),
        "checks": checks,
        "uptime_seconds": int(time.monotonic() - services.started),
    }
    return JsonResponse(body, 200 if well else 503)


@router.get("/health/live")
async def live() -> dict[str, str]:
    """The process answers; nothing else is asked."""
    return {"status": "alive"}


@router.get("/health/ready", responses={503: {"description": "Not now."}})
async def ready(services: ServicesDep) -> Response:
    """Whether requests can be served: both stores answer."""
    checks = await _checks(services)
    checks.pop("disk_space")
    well = all(state == "ok" for state in checks.values())
    return JsonResponse({"status": "ready" if well else "not ready", "checks": checks}, 200 if well else 503)


@router.get("/metrics", response_class=Response)
async def metrics(services: ServicesDep) -> Response:
    """Prometheus' text format."""
    if services.gauges is not None:
        await services.gauges.refresh()
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _checks(services: Services) -> dict[str, str]:
    probes: dict[str, Awaitable[Any]] = {"warehouse": services.warehouse.query("SELECT 1")}
    if services.record is not None:
        probes["database"] = services.record.fetch_one("select 1")
    states = await asyncio.gather(*(_state(probe) for probe in probes.values()))
    return {**dict(zip(probes, states, strict=True)), "disk_space": _disk(services.settings.data_dir)}


async def _state(probe: Awaitable[Any]) -> str:
    try:
        await asyncio.wait_for(probe, _PATIENCE_SECONDS)
    except EduError as error:
        return error.code
    except TimeoutError:
        return "timeout"
    return "ok"


def _disk(folder: Path) -> str:
    place = next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
    usage = shutil.disk_usage(place)
    return "ok" if usage.free / usage.total >= _LEAST_FREE else "low"
