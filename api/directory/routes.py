"""/api/v1/schools, /classrooms, /users, /enrolments."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

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
    directory: Directory, table: str, scope: Scope, paging: Paging, model: Any, **wanted: Any
) -> Envelope[Any]:
    rows, total = await store.page(directory.postgres, table, scope.parameters, paging, **wanted)
    items = [model(**row) for row in rows]
    return ok(Page[Any](items=items, page=paging.page, page_size=paging.page_size, total=total))


@router.get("/schools", response_model=Envelope[Page[School]])
async def list_schools(directory: DirectoryDep, scope: ScopeDep, paging: PagingDep) -> Envelope[Any]:
    """The schools that you see: your own; an operator sees all."""
    return await _page(directory, "schools", scope, paging, School)


@router.post("/schools", status_code=201, dependencies=_OPERATOR)
async def create_school(wish: NewSchool, directory: DirectoryDep) -> Envelope[School]:
    """Make a school (operators; anybody else founds one by registering)."""
    return ok(await directory.create_school(wish), "School created.")


@router.get("/schools/{school_id}")
async def get_school(school_id: Id, directory: DirectoryDep, scope: ScopeDep) -> Envelope[School]:
    """One school."""
    return ok(School(**await directory.find("schools", "school", scope, school_id)))


@router.patch("/schools/{school_id}", dependencies=_ADMIN)
async def change_school(
    school_id: Id, change: SchoolChange, directory: DirectoryDep, scope: ScopeDep
) -> Envelope[School]:
    """Change a school's name or time zone."""
    return ok(await directory.change_school(scope, school_id, change), "School changed.")


@router.get("/classrooms", response_model=Envelope[Page[Classroom]])
async def list_classrooms(
    directory: DirectoryDep, scope: ScopeDep, paging: PagingDep, school_id: Id | None = None
) -> Envelope[Any]:
    """The classrooms that you see: an admin those of his school, a teacher or student his own."""
    return await _page(directory, "classrooms", scope, paging, Classroom, school_id=school_id)


@router.post("/classrooms", status_code=201, dependencies=_ADMIN)
async def create_classroom(wish: NewClassroom, directory: DirectoryDep, scope: ScopeDep) -> Envelope[Classroom]:
    """Make a classroom (admins)."""
    return ok(await directory.create_classroom(scope, wish), "Classroom created.")


@router.get("/classrooms/{classroom_id}")
async def get_classroom(classroom_id: Id, directory: DirectoryDep, scope: ScopeDep) -> Envelope[Classroom]:
    """One classroom."""
    return ok(Classroom(**await directory.find("classrooms", "classroom", scope, classroom_id)))


@router.patch("/classrooms/{classroom_id}", dependencies=_ADMIN)
async def change_classroom(
    classroom_id: Id, change: ClassroomChange, directory: DirectoryDep, scope: ScopeDep
) -> Envelope[Classroom]:
    """Change a classroom's name, subject or teacher (admins)."""
    return ok(await directory.change_classroom(scope, classroom_id, change), "Classroom changed.")


@router.get("/users", response_model=Envelope[Page[User]])
async def list_users(
    directory: DirectoryDep,
    scope: ScopeDep,
    paging: PagingDep,
    role: Role | None = None,
    classroom_id: Id | None = None,
    school_id: Id | None = None,
    email: Annotated[str | None, Query(max_length=254)] = None,
    id: Id | None = None,  # noqa: A002 - the name in the address
) -> Envelope[Any]:
    """The people whom you see: an admin his school, a teacher his students, a student himself."""
    wanted = {"role": role, "classroom_id": classroom_id, "school_id": school_id, "email": email, "id": id}
    return await _page(directory, "users", scope, paging, User, **wanted)


@router.post("/users", status_code=201, dependencies=_ADMIN)
async def create_user(wish: NewUser, directory: DirectoryDep, scope: ScopeDep) -> Envelope[User]:
    """Make an account (admins for their school)."""
    return ok(await directory.create_user(scope, wish), "User created.")


@router.get("/users/me")
async def get_me(directory: DirectoryDep, scope: ScopeDep) -> Envelope[User]:
    """Your own account."""
    if scope.principal.user_id is None:
        raise NotFound("This token belongs to a service.")
    return ok(User(**await directory.find("users", "user", scope, scope.principal.user_id)))


@router.get("/users/{user_id}")
async def get_user(user_id: Id, directory: DirectoryDep, scope: ScopeDep) -> Envelope[User]:
    """One account."""
    return ok(User(**await directory.find("users", "user", scope, user_id)))


@router.patch("/users/{user_id}", dependencies=_PEOPLE)
async def change_user(user_id: Id, change: UserChange, directory: DirectoryDep, scope: ScopeDep) -> Envelope[User]:
    """Change an account: your own name; an admin changes all of it (your own password: POST /auth/password)."""
    return ok(await directory.change_user(scope, user_id, change), "User changed.")


@router.get("/enrolments", response_model=Envelope[Page[Enrolment]])
async def list_enrolments(
    directory: DirectoryDep,
    scope: ScopeDep,
    paging: PagingDep,
    classroom_id: Id | None = None,
    user_id: Id | None = None,
    open: Annotated[  # noqa: A002 - the name in the address
        bool | None, Query(description="Only those that hold now, or only those that ended.")
    ] = None,
) -> Envelope[Any]:
    """Who is in which classroom, and when."""
    wanted = {"classroom_id": classroom_id, "user_id": user_id, "open": open}
    return await _page(directory, "enrolments", scope, paging, Enrolment, **wanted)


@router.post("/enrolments", status_code=201, dependencies=_ADMIN)
async def enrol(wish: NewEnrolment, directory: DirectoryDep, scope: ScopeDep) -> Envelope[Enrolment]:
    """Put a student or a teacher into a classroom (admins)."""
    return ok(await directory.enrol(scope, wish), "Enrolled.")


@router.get("/enrolments/{enrolment_id}")
async def get_enrolment(enrolment_id: Id, directory: DirectoryDep, scope: ScopeDep) -> Envelope[Enrolment]:
    """One enrolment."""
    return ok(Enrolment(**await directory.find("enrolments", "enrolment", scope, enrolment_id)))


@router.patch("/enrolments/{enrolment_id}", dependencies=_ADMIN)
async def end_enrolment(
    enrolment_id: Id, change: EnrolmentEnd, directory: DirectoryDep, scope: ScopeDep
) -> Envelope[Enrolment]:
    """End an enrolment, now or at a given time (admins)."""
    return ok(await directory.end_enrolment(scope, enrolment_id, change), "Enrolment ended.")
