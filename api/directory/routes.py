"""/api/v1/schools, /classrooms, /users, /enrolments."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from api.audit.trail import Trail, audited
from api.auth.schemas import User
from api.auth.scopes import TokenScope
from api.deps import ServicesDep, require
from api.directory import store
from api.directory.schemas import (
    Classroom,
    ClassroomChange,
    Enrolment,
    EnrolmentEnd,
    NewClassroom,
    NewEnrolment,
    NewSchool,
    NewUser,
    Role,
    School,
    SchoolChange,
    UserChange,
)
from api.directory.service import Directory
from api.envelope import Envelope, Page, ok
from api.fields import Id, Paging, PagingDep
from api.scope import Scope, ScopeDep
from core.errors import NotFound

router = APIRouter(tags=["directory"], dependencies=[Depends(require(scope=TokenScope.DIRECTORY_READ))])
_PEOPLE = [Depends(require())]  # no service token: it could set a password
_ADMIN = [Depends(require("admin"))]
_OPERATOR = [Depends(require("operator"))]


def directory(services: ServicesDep) -> Directory:
    """The directory over the record."""
    accounts = services.ingestion.accounts
    revocations = accounts.sessions.revocations
    return Directory(services.postgres, services.identities, accounts.passwords, revocations, services.settings)


DirectoryDep = Annotated[Directory, Depends(directory)]


async def _page(
    directory: Directory,
    table: str,
    scope: Scope,
    paging: Paging,
    model: Any,
    seen: Callable[[list[dict[str, Any]]], Awaitable[None]] | None = None,
    **wanted: Any,
) -> Envelope[Any]:
    rows, total = await store.page(directory.postgres, table, scope.parameters, paging, **wanted)
    if seen:
        await seen(rows)
    items = [model(**row) for row in rows]
    return ok(Page[Any](items=items, page=paging.page, page_size=paging.page_size, total=total))


def _noting(trail: Trail, column: str) -> Callable[[list[dict[str, Any]]], Awaitable[None]]:
    """Notes whose rows a page shows."""

    async def note(rows: list[dict[str, Any]]) -> None:
        await trail.note({row[column] for row in rows}, rows=len(rows))

    return note


@router.get("/schools", response_model=Envelope[Page[School]])
async def list_schools(directory: DirectoryDep, scope: ScopeDep, paging: PagingDep) -> Envelope[Any]:
    """The schools that you see: your own; an operator sees all."""
    return await _page(directory, "schools", scope, paging, School)


@router.post("/schools", status_code=201, dependencies=_OPERATOR)
async def create_school(
    wish: NewSchool,
    directory: DirectoryDep,
    trail: Annotated[Trail, Depends(audited("school.created"))],
) -> Envelope[School]:
    """Make a school (operators; anybody else founds one by registering)."""
    return ok(await directory.create_school(trail, wish), "School created.")


@router.get("/schools/{school_id}")
async def get_school(school_id: Id, directory: DirectoryDep, scope: ScopeDep) -> Envelope[School]:
    """One school."""
    return ok(School(**await directory.find("schools", "school", scope, school_id)))


@router.patch("/schools/{school_id}", dependencies=_ADMIN)
async def change_school(
    school_id: Id,
    change: SchoolChange,
    directory: DirectoryDep,
    scope: ScopeDep,
    trail: Annotated[Trail, Depends(audited("school.changed"))],
) -> Envelope[School]:
    """Change a school's name, time zone, or what may be done with its data: consent, sharing, retention (admins)."""
    return ok(await directory.change_school(scope, trail, school_id, change), "School changed.")


@router.get("/classrooms", response_model=Envelope[Page[Classroom]])
async def list_classrooms(
    directory: DirectoryDep, scope: ScopeDep, paging: PagingDep, school_id: Id | None = None
) -> Envelope[Any]:
    """The classrooms that you see: an admin those of his school, a teacher or student his own."""
    return await _page(directory, "classrooms", scope, paging, Classroom, school_id=school_id)


@router.post("/classrooms", status_code=201, dependencies=_ADMIN)
async def create_classroom(
    wish: NewClassroom,
    directory: DirectoryDep,
    scope: ScopeDep,
    trail: Annotated[Trail, Depends(audited("classroom.created"))],
) -> Envelope[Classroom]:
    """Make a classroom (admins)."""
    return ok(await directory.create_classroom(scope, trail, wish), "Classroom created.")


@router.get("/classrooms/{classroom_id}")
async def get_classroom(classroom_id: Id, directory: DirectoryDep, scope: ScopeDep) -> Envelope[Classroom]:
    """One classroom."""
    return ok(Classroom(**await directory.find("classrooms", "classroom", scope, classroom_id)))


@router.patch("/classrooms/{classroom_id}", dependencies=_ADMIN)
async def change_classroom(
    classroom_id: Id,
    change: ClassroomChange,
    directory: DirectoryDep,
    scope: ScopeDep,
    trail: Annotated[Trail, Depends(audited("classroom.changed"))],
) -> Envelope[Classroom]:
    """Change a classroom's name, subject or teacher (admins)."""
    return ok(await directory.change_classroom(scope, trail, classroom_id, change), "Classroom changed.")


@router.get("/users", response_model=Envelope[Page[User]])
async def list_users(
    directory: DirectoryDep,
    scope: ScopeDep,
    paging: PagingDep,
    trail: Annotated[Trail, Depends(audited("user.listed"))],
    role: Role | None = None,
    classroom_id: Id | None = None,
    school_id: Id | None = None,
    email: Annotated[str | None, Query(max_length=254)] = None,
    id: Id | None = None,  # noqa: A002 - the name in the address
) -> Envelope[Any]:
    """The people whom you see: an admin his school, a teacher his students, a student himself."""
    wanted = {"role": role, "classroom_id": classroom_id, "school_id": school_id, "email": email, "id": id}
    return await _page(directory, "users", scope, paging, User, _noting(trail, "id"), **wanted)


@router.post("/users", status_code=201, dependencies=_ADMIN)
async def create_user(
    wish: NewUser,
    directory: DirectoryDep,
    scope: ScopeDep,
    trail: Annotated[Trail, Depends(audited("user.created"))],
) -> Envelope[User]:
    """Make an account (admins for their school)."""
    return ok(await directory.create_user(scope, trail, wish), "User created.")


@router.get("/users/me")
async def get_me(
    directory: DirectoryDep, scope: ScopeDep, trail: Annotated[Trail, Depends(audited("user.read"))]
) -> Envelope[User]:
    """Your own account."""
    if scope.principal.user_id is None:
        raise NotFound("This token belongs to a service.")
    return await _user(directory, scope, trail, scope.principal.user_id)


@router.get("/users/{user_id}")
async def get_user(
    user_id: Id, directory: DirectoryDep, scope: ScopeDep, trail: Annotated[Trail, Depends(audited("user.read"))]
) -> Envelope[User]:
    """One account."""
    return await _user(directory, scope, trail, user_id)


async def _user(directory: Directory, scope: Scope, trail: Trail, user_id: int) -> Envelope[User]:
    row = await directory.find("users", "user", scope, user_id)
    await trail.note([user_id], school_id=row["school_id"])
    return ok(User(**row))


@router.patch("/users/{user_id}", dependencies=_PEOPLE)
async def change_user(
    user_id: Id,
    change: UserChange,
    directory: DirectoryDep,
    scope: ScopeDep,
    trail: Annotated[Trail, Depends(audited("user.changed"))],
) -> Envelope[User]:
    """Change an account: your own name; an admin changes all of it (your own password: POST /auth/password)."""
    return ok(await directory.change_user(scope, trail, user_id, change), "User changed.")


@router.get("/enrolments", response_model=Envelope[Page[Enrolment]])
async def list_enrolments(
    directory: DirectoryDep,
    scope: ScopeDep,
    paging: PagingDep,
    trail: Annotated[Trail, Depends(audited("enrolment.listed"))],
    classroom_id: Id | None = None,
    user_id: Id | None = None,
    open: Annotated[  # noqa: A002 - the name in the address
        bool | None, Query(description="Only those that hold now, or only those that ended.")
    ] = None,
) -> Envelope[Any]:
    """Who is in which classroom, and when."""
    wanted = {"classroom_id": classroom_id, "user_id": user_id, "open": open}
    return await _page(directory, "enrolments", scope, paging, Enrolment, _noting(trail, "user_id"), **wanted)


@router.post("/enrolments", status_code=201, dependencies=_ADMIN)
async def enrol(
    wish: NewEnrolment,
    directory: DirectoryDep,
    scope: ScopeDep,
    trail: Annotated[Trail, Depends(audited("enrolment.begun"))],
) -> Envelope[Enrolment]:
    """Put a student or a teacher into a classroom (admins)."""
    return ok(await directory.enrol(scope, trail, wish), "Enrolled.")


@router.get("/enrolments/{enrolment_id}")
async def get_enrolment(
    enrolment_id: Id,
    directory: DirectoryDep,
    scope: ScopeDep,
    trail: Annotated[Trail, Depends(audited("enrolment.read"))],
) -> Envelope[Enrolment]:
    """One enrolment."""
    row = await directory.find("enrolments", "enrolment", scope, enrolment_id)
    await trail.note([row["user_id"]], school_id=row["school_id"])
    return ok(Enrolment(**row))


@router.patch("/enrolments/{enrolment_id}", dependencies=_ADMIN)
async def end_enrolment(
    enrolment_id: Id,
    change: EnrolmentEnd,
    directory: DirectoryDep,
    scope: ScopeDep,
    trail: Annotated[Trail, Depends(audited("enrolment.ended"))],
) -> Envelope[Enrolment]:
    """End an enrolment, now or at a given time (admins)."""
    return ok(await directory.end_enrolment(scope, trail, enrolment_id, change), "Enrolment ended.")
