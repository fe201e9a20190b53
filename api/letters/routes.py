"""/api/v1/dead-letters: admins those of their school, operators all."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from api.audit.trail import Trail, audited
from api.deps import ServicesDep, require
from api.envelope import Envelope, ok
from api.fields import Body, Id, Moment, PagingDep
from api.letters.service import Letters
from api.responses.routes import responses_of
from api.scope import Scope, ScopeDep
from core.errors import NotFound
from ingestion.events import check_value
from ingestion.letters import Wanted, count_by_code, find

router = APIRouter(prefix="/dead-letters", tags=["dead letters"], dependencies=[Depends(require("admin"))])
Code = Annotated[str, Field(max_length=100)]


class Letter(BaseModel):
    """What was refused, whose it was, why, and what became of it."""

    id: int
    school_id: int | None
    stage: Literal["accept", "load"]
    kind: Literal["event", "response"]
    code: str = Field(examples=["unknown_event"])
    reason: str
    field: str | None
    payload: Any = Field(description="What came.")
    fixed: Any = Field(description="What somebody made of it; this is played again.")
    user_id: int | None = Field(description="Whom it is about, as far as that is known.")
    sender_id: int | None
    sender_role: str | None
    event_id: UUID | None = Field(description="The event or answer in the record that it contradicts.")
    received_at: datetime
    fixed_at: datetime | None
    replays: int
    replayed_at: datetime | None
    outcome: Any = Field(description="What became of it when it was played again.")
    state: Literal["open", "settled"]


class Found(BaseModel):
    """One page of letters, the newest first, and how many there are of each reason."""

    items: list[Letter]
    page: int
    page_size: int
    total: int
    reasons: dict[str, int]


class Fix(Body):
    """A mended payload."""

    payload: dict[str, Any]


class Which(Body):
    """Which letters; what is left out may be anything. Only open ones are played again."""

    ids: list[Id] | None = Field(None, min_length=1, max_length=1_000)
    code: Code | None = None
    stage: Literal["accept", "load"] | None = None
    kind: Literal["event", "response"] | None = None
    user_id: Id | None = None
    school_id: Id | None = Field(None, description="For operators.")
    start: Moment | None = Field(None, alias="from")
    stop: Moment | None = Field(None, alias="to")


class Played(BaseModel):
    """How many letters were taken now, were known already, were rejected again, or went to the loader."""

    accepted: int
    duplicate: int
    rejected: int
    loading: int


def letters(services: ServicesDep) -> Letters:
    """The dead letters."""
    return Letters(services.postgres, services.ingestion.acceptor, responses_of(services), services.identities)


LettersDep = Annotated[Letters, Depends(letters)]


@router.get("")
async def list_letters(
    services: ServicesDep,
    scope: ScopeDep,
    paging: PagingDep,
    trail: Annotated[Trail, Depends(audited("letters.read"))],
    code: Annotated[Code | None, Query(description="The reason: `unknown_event`, `clock` …")] = None,
    stage: Literal["accept", "load"] | None = None,
    kind: Literal["event", "response"] | None = None,
    user_id: Annotated[Id | None, Query(description="Whom it is about, or who sent it.")] = None,
    school_id: Annotated[Id | None, Query(description="For operators.")] = None,
    state: Annotated[Literal["open", "settled"] | None, Query(description="Left out: both.")] = None,
    start: Annotated[Moment | None, Query(alias="from", description="Came from this moment on.")] = None,
    stop: Annotated[Moment | None, Query(alias="to", description="Came before this moment.")] = None,
) -> Envelope[Found]:
    """What was refused, the newest first."""
    place = _school(scope, school_id)
    wanted = Wanted(place, None, code, stage, kind, user_id, state, start, stop)
    reasons = await count_by_code(services.postgres, wanted)
    found = await find(services.postgres, wanted, paging.page_size, paging.limit["offset"])
    people = {number for each in found for number in (each.user_id, each.sender_id) if number is not None}
    await trail.note(people, school_id=place, rows=len(found))
    items = [Letter(**asdict(each)) for each in found]
    total = sum(reasons.values())
    return ok(Found(items=items, page=paging.page, page_size=paging.page_size, total=total, reasons=reasons))


@router.post("/replay")
async def replay_letters(
    which: Which,
    scope: ScopeDep,
    letters: LettersDep,
    trail: Annotated[Trail, Depends(audited("letters.replayed"))],
) -> Envelope[Played]:
    """Play open letters again, the oldest first, at most 10,000; call it again for the rest.

    It means what it meant: the same sender, the moment at which it came. Twice is once."""
    place = _school(scope, which.school_id)
    filters = (which.code, which.stage, which.kind, which.user_id, "open", which.start, which.stop)
    ids = [None] if which.ids is None else sorted(set(which.ids))
    chosen = [Wanted(place, number, *filters) for number in ids]
    total = {"accepted": 0, "duplicate": 0, "rejected": 0, "loading": 0}
    for wanted in chosen:
        for status, number in (await letters.replay(wanted, trail)).items():
            total[status] += number
    return ok(Played(**total))


@router.get("/{letter_id}")
async def one_letter(
    letter_id: Id,
    scope: ScopeDep,
    letters: LettersDep,
    trail: Annotated[Trail, Depends(audited("letters.read"))],
) -> Envelope[Letter]:
    """One letter."""
    found = await letters.one(scope, letter_id)
    people = {number for number in (found.user_id, found.sender_id) if number is not None}
    await trail.note(people, school_id=found.school_id)
    return ok(Letter(**asdict(found)))


@router.put("/{letter_id}")
async def fix_letter(
    letter_id: Id,
    wish: Fix,
    scope: ScopeDep,
    letters: LettersDep,
    trail: Annotated[Trail, Depends(audited("letters.fixed"))],
) -> Envelope[Letter]:
    """Mend a letter: what came is kept beside it. Then play it again."""
    check_value(wish.payload)
    return ok(Letter(**asdict(await letters.fix(scope, letter_id, wish.payload, trail))))


@router.post("/{letter_id}/replay")
async def replay_letter(
    letter_id: Id,
    scope: ScopeDep,
    letters: LettersDep,
    trail: Annotated[Trail, Depends(audited("letters.replayed"))],
) -> Envelope[Letter]:
    """Play one letter again; a settled one is told as it is."""
    await letters.one(scope, letter_id)
    await letters.replay(Wanted(scope.principal.school_id, letter_id), trail)
    return ok(Letter(**asdict(await letters.one(scope, letter_id))))


def _school(scope: Scope, wanted: int | None) -> int | None:
    """The school whose letters are meant: an admin's own; an operator's choice, or all."""
    own = scope.principal.school_id
    if own is not None and wanted not in (None, own):
        raise NotFound("There is no such school.")
    return wanted if own is None else own
