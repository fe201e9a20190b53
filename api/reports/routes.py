"""/api/v1/reports, and the three reports at the addresses of old: /student-performance and so on."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from api.audit.trail import Trail, audited
from api.auth.scopes import TokenScope
from api.deps import Caller, ContextDep, Services, ServicesDep, require
from api.envelope import JsonResponse
from api.fields import Id, PagingDep, TimeZone
from api.limits.rates import limited
from api.principal import Principal
from api.reports.definitions import Report
from api.reports.parameters import read_parameters
from api.reports.people import seen_in_report
from api.reports.service import Wish
from api.reports.spreadsheet import to_csv
from api.reports.subjects import check_subject

router = APIRouter(tags=["reports"], dependencies=[Depends(require(scope=TokenScope.REPORTS))])
_FORMATS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The report.", "content": {"application/json": {}, "text/csv": {}}}
}
_COSTLY = [Depends(limited("reports"))]
FormatDep = Annotated[Literal["json", "csv"], Query(description="csv gives one section as a table.")]
SectionDep = Annotated[str | None, Query(max_length=100, description="Only this section.")]
ZoneDep = Annotated[TimeZone | None, Query(description="The zone of days and weeks; by default the school's.")]
FromDep = Annotated[date | None, Query(alias="from", description="The first day, e.g. 2026-09-01.")]
ToDep = Annotated[date | None, Query(description="The last day, included.")]
TrailDep = Annotated[Trail, Depends(audited("report.read"))]
SubjectDep = Annotated[str | None, Query(max_length=200, description="Only quizzes of this subject.")]


@router.get("/reports")
async def list_reports(caller: Caller, services: ServicesDep) -> Response:
    """The reports that you may run, with their parameters in plain words."""
    found = [_described(report) for report in services.reports.reports.values() if report.open_to(caller.role)]
    return JsonResponse({"success": True, "message": "OK", "data": {"items": found, "total": len(found)}})


@router.get("/reports/{name}", dependencies=_COSTLY, responses=_FORMATS)
async def run_report(
    name: str,
    request: Request,
    services: ServicesDep,
    caller: Caller,
    context: ContextDep,
    trail: TrailDep,
    paging: PagingDep,
    format: FormatDep = "json",  # noqa: A002 - the name in the address
    section: SectionDep = None,
    time_zone: ZoneDep = None,
) -> Response:
    """Run any report; its own parameters stand in the address too, e.g. `?student_id=7&from=2026-09-01`."""
    report = services.reports.find(name, caller.role)
    values = read_parameters(report, _with_self(report, caller, dict(request.query_params)))
    await check_subject(services, caller, context, values)
    wish = Wish(paging, time_zone or await school_zone(services, caller), section or _csv_section(report, format))
    answer = await services.reports.run(report, values, wish, context)
    if found := seen_in_report(services.catalog, answer):
        await trail.note(found.subjects, report=report.name, members=found.members, rows=found.rows)
    return _as_csv(answer) if format == "csv" else JsonResponse({"success": True, "message": "OK", "data": answer})


@router.get("/student-performance", dependencies=_COSTLY, responses=_FORMATS)
async def student_performance(
    request: Request,
    services: ServicesDep,
    caller: Caller,
    context: ContextDep,
    trail: TrailDep,
    paging: PagingDep,
    student_id: Annotated[Id | None, Query(description="The student; a student may leave it out.")] = None,  # noqa: ARG001
    start: FromDep = None,  # noqa: ARG001
    to: ToDep = None,  # noqa: ARG001
    subject: SubjectDep = None,  # noqa: ARG001
    format: FormatDep = "json",  # noqa: A002 - the name in the address
    section: SectionDep = None,
    time_zone: ZoneDep = None,
) -> Response:
    """How one student does: accuracy, time, quizzes, skills, weeks, and the questions that went worst."""
    return await run_report(
        "student_performance", request, services, caller, context, trail, paging, format, section, time_zone
    )


@router.get("/classroom-engagement", dependencies=_COSTLY, responses=_FORMATS)
async def classroom_engagement(
    request: Request,
    services: ServicesDep,
    caller: Caller,
    context: ContextDep,
    trail: TrailDep,
    paging: PagingDep,
    classroom_id: Annotated[Id | None, Query(description="The classroom; needed.")] = None,  # noqa: ARG001
    start: FromDep = None,  # noqa: ARG001
    to: ToDep = None,  # noqa: ARG001
    subject: SubjectDep = None,  # noqa: ARG001
    format: FormatDep = "json",  # noqa: A002 - the name in the address
    section: SectionDep = None,
    time_zone: ZoneDep = None,
) -> Response:
    """Whether a classroom takes part: enrolled and active students, completed quizzes, time, day by day."""
    return await run_report(
        "classroom_engagement", request, services, caller, context, trail, paging, format, section, time_zone
    )


@router.get("/content-effectiveness", dependencies=_COSTLY, responses=_FORMATS)
async def content_effectiveness(
    request: Request,
    services: ServicesDep,
    caller: Caller,
    context: ContextDep,
    trail: TrailDep,
    paging: PagingDep,
    quiz_id: Annotated[Id | None, Query(description="The quiz; needed.")] = None,  # noqa: ARG001
    start: FromDep = None,  # noqa: ARG001
    to: ToDep = None,  # noqa: ARG001
    classroom_id: Annotated[Id | None, Query(description="Only answers of this classroom.")] = None,  # noqa: ARG001
    format: FormatDep = "json",  # noqa: A002 - the name in the address
    section: SectionDep = None,
    time_zone: ZoneDep = None,
) -> Response:
    """How well a quiz's questions work: difficulty, first tries, common wrong answers, time, discrimination."""
    return await run_report(
        "content_effectiveness", request, services, caller, context, trail, paging, format, section, time_zone
    )


async def school_zone(services: Services, caller: Principal) -> str:
    """The time zone of the caller's school, else that of the settings."""
    if services.record is None or caller.school_id is None:
        return services.settings.time_zone
    row = await services.record.fetch_one("select time_zone from schools where id = %(id)s", {"id": caller.school_id})
    return row["time_zone"] if row else services.settings.time_zone


def _with_self(report: Report, caller: Principal, given: dict[str, str]) -> dict[str, str]:
    """A student means himself when he names nobody."""
    asks = any(parameter.name == "student_id" for parameter in report.parameters)
    if asks and caller.role == "student" and "student_id" not in given:
        return {**given, "student_id": str(caller.user_id)}
    return given


def _csv_section(report: Report, form: str) -> str | None:
    """CSV holds one table: the first that has pages, else the first."""
    if form != "csv":
        return None
    return next((section for section in report.sections if section.paginated), report.sections[0]).name


def _as_csv(answer: dict[str, Any]) -> Response:
    (name, section), *_ = answer["sections"].items()
    columns = [column["name"] for column in section["columns"]]
    text = to_csv(columns, ([row[column] for column in columns] for row in section["rows"]))
    disposition = f'attachment; filename="{answer["report"]}_{name}.csv"'
    return Response(text, media_type="text/csv; charset=utf-8", headers={"Content-Disposition": disposition})


def _described(report: Report) -> dict[str, Any]:
    return {
        "name": report.name,
        "path": f"/api/v1/{report.path}" if report.path else f"/api/v1/reports/{report.name}",
        "title": report.title,
        "description": report.description,
        "parameters": [parameter.model_dump() for parameter in report.parameters],
        "sections": [{"name": s.name, "title": s.title, "paginated": s.paginated} for s in report.sections],
    }
