"""Runs a saved query: every number comes from the engine, with the caller's own rights."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.fields import Paging
from api.reports.definitions import Report, Section
from api.reports.filling import fill
from api.reports.tables import Table, load_table
from core.clock import now
from core.errors import Forbidden, NotFound, nearest
from engine.query.access import SecurityContext
from engine.run.engine import Engine


@dataclass(frozen=True)
class Wish:
    """What the caller wants of a report beside its parameters."""

    paging: Paging
    time_zone: str
    section: str | None = None


@dataclass(frozen=True)
class Reports:
    """All reports of the model folder, over the engine."""

    reports: Mapping[str, Report]
    engine: Engine

    def find(self, name: str, role: str) -> Report:
        """A report by its name or its path; raises `NotFound` with the nearest names, or `Forbidden`."""
        report = self.reports.get(name.replace("-", "_"))
        if report is None:
            raise NotFound(f"There is no report «{name}».", nearest=nearest(name, list(self.reports)))
        if not report.open_to(role):
            raise Forbidden(f"A {role} may not run {report.name}.", needs=list(report.roles))
        return report

    async def run(self, report: Report, values: dict[str, Any], wish: Wish, context: SecurityContext) -> dict[str, Any]:
        """The report's subject and its sections; `NotFound` when the subject is not there or not the caller's."""
        sections = _chosen(report, wish.section)
        subject, *tables = await asyncio.gather(
            self._subject(report, values, wish, context),
            *(self._table(section, values, wish, context) for section in sections),
        )
        return {
            "report": report.name,
            "title": report.title,
            "parameters": values,
            "time_zone": wish.time_zone,
            "subject": subject,
            "sections": {
                section.name: _answer(section, table, wish.paging)
                for section, table in zip(sections, tables, strict=True)
            },
        }

    async def _subject(
        self, report: Report, values: dict[str, Any], wish: Wish, context: SecurityContext
    ) -> dict[str, Any] | None:
        if report.subject is None:
            return None
        query = fill(report.subject.query, values, now().date())
        table = await load_table(self.engine, {"timezone": wish.time_zone, **query, "limit": 1}, context)
        if not table.rows:
            raise NotFound("There is no such thing here, or it is not yours to see.")
        return table.rows[0]

    async def _table(self, section: Section, values: dict[str, Any], wish: Wish, context: SecurityContext) -> Table:
        query = {"timezone": wish.time_zone, **fill(section.query, values, now().date())}
        if section.paginated:
            place = wish.paging.limit
            query |= {"limit": place["limit"], "offset": place["offset"], "total": True}
        return await load_table(self.engine, query, context)


def _chosen(report: Report, wanted: str | None) -> list[Section]:
    if wanted is None:
        return list(report.sections)
    found = [section for section in report.sections if section.name == wanted]
    if not found:
        names = [section.name for section in report.sections]
        raise NotFound(f"{report.name} has no section «{wanted}».", sections=names)
    return found


def _answer(section: Section, table: Table, paging: Paging) -> dict[str, Any]:
    answer: dict[str, Any] = {"title": section.title, "columns": table.columns, "rows": table.rows}
    if section.one_row:
        answer["row"] = table.rows[0] if table.rows else None
    if section.paginated:
        answer |= {"page": paging.page, "page_size": paging.page_size, "total": table.total}
    return answer
