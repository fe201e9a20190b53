"""/api/v1/archive: what has left the record; run, verify, restore. Answers are JSON lines, told as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse

from api.audit.trail import Trail, audited
from api.deps import Services, ServicesDep, require
from api.envelope import Envelope, ok
from core.errors import EduError
from ingestion.archive.desk import Order, require_store, work
from ingestion.archive.manifest import parse_month

router = APIRouter(prefix="/archive", tags=["admin"], dependencies=[Depends(require("operator"))])
_LINES: dict[int | str, dict[str, Any]] = {200: {"content": {"application/x-ndjson": {}}}}
_MONTH = r"^\d{4}-(0[1-9]|1[0-2])$"


class Wish(BaseModel):
    """Which month comes back, and where to."""

    month: str = Field(pattern=_MONTH, examples=["2025-01"])
    into: Literal["clickhouse", "postgres"] = Field(
        "clickhouse", description="clickhouse: it can be asked for; postgres: its rows can be changed."
    )
    days: int = Field(30, ge=1, le=3650, description="How long it stays.")
    dry_run: bool = Field(False, description="Only say what would be done.")


@router.get("")
async def months(
    services: ServicesDep,
    due: bool = Query(False, description="What is due now, instead of what is there."),
) -> Envelope[list[dict[str, Any]]]:
    """The months of the archive with their state, rows and bytes; or what is due for it (operators)."""
    lines: list[dict[str, Any]] = []
    order = Order("plan" if due else "list")
    record = services.postgres
    await asyncio.to_thread(work, record.url, services.warehouse, services.settings, order, lines.append)
    return ok(lines)


@router.post("/run", response_class=StreamingResponse, responses=_LINES)
async def run(services: ServicesDep, trail: Annotated[Trail, Depends(audited("archive.run"))]) -> StreamingResponse:
    """Do what is due now, without waiting for the hour (operators); a JSON line for each step."""
    return await _told(services, trail, Order("run"))


@router.post("/verify", response_class=StreamingResponse, responses=_LINES)
async def verify(
    services: ServicesDep,
    trail: Annotated[Trail, Depends(audited("archive.verified"))],
    month: Annotated[str | None, Query(pattern=_MONTH, description="One month; without it all.")] = None,
) -> StreamingResponse:
    """Read every file back and compare it with the manifest (operators); a JSON line for each month."""
    return await _told(services, trail, Order("verify", parse_month(month) if month else None))


@router.post("/restore", response_class=StreamingResponse, responses=_LINES)
async def restore(
    wish: Wish, services: ServicesDep, trail: Annotated[Trail, Depends(audited("archive.restored"))]
) -> StreamingResponse:
    """Bring a month back into ClickHouse or Postgres for a time (operators); a JSON line for each table."""
    return await _told(services, trail, Order("restore", parse_month(wish.month), wish.into, wish.days, wish.dry_run))


async def _told(services: Services, trail: Trail, order: Order) -> StreamingResponse:
    require_store(services.settings)
    async with services.postgres.transaction() as connection:
        await trail.record(connection, month=f"{order.month:%Y-%m}" if order.month else None)
    return StreamingResponse(_lines(services, order), media_type="application/x-ndjson")


async def _lines(services: Services, order: Order) -> AsyncIterator[bytes]:
    """The lines of an order; what ends it early is the last line, `{"error": …}`."""
    queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def emit(line: dict[str, Any] | None) -> None:
        loop.call_soon_threadsafe(queue.put_nowait, line)

    def do() -> None:
        try:
            work(services.postgres.url, services.warehouse, services.settings, replace(order), emit)
        except EduError as error:
            emit({"error": {"code": error.code, "message": str(error)}})
        finally:
            emit(None)

    working = loop.run_in_executor(None, do)
    while (line := await queue.get()) is not None:
        yield orjson.dumps(line) + b"\n"
    await working
    if services.fed and order.verb in ("run", "restore"):
        services.fed.loader.changed()
