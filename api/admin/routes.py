"""GET /api/v1/status."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from api.deps import ServicesDep, require
from api.envelope import JsonResponse
from api.health import product_version
from ingestion.amendments.queue import summary
from ingestion.archive.housekeeping import read_housekeeping
from ingestion.status import read_status

router = APIRouter(tags=["admin"], dependencies=[Depends(require("operator"))])


@router.get("/status")
async def status(
    services: ServicesDep, exact: bool = Query(False, description="Count the record's rows too; slow on a large one.")
) -> Response:
    """How far ClickHouse is behind the record, what was refused, what the model holds (operators)."""
    found = await read_status(services.postgres, services.warehouse, exact=exact)
    data: dict[str, Any] = {
        **asdict(found),
        "lag_seconds": found.lag_seconds,
        "level": found.level.name.lower(),
        "problems": [{**asdict(problem), "level": problem.level.name.lower()} for problem in found.problems],
        "amendments": await summary(services.postgres),
        "housekeeping": await read_housekeeping(services.postgres, services.settings),
        "version": product_version(),
        "model": {
            "cubes": len(services.catalog.cubes),
            "views": len(services.catalog.views),
            "reports": len(services.reports.reports),
        },
    }
    return JsonResponse({"success": True, "message": "OK", "data": data})
