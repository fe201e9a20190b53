"""POST /api/v1/users/bulk."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request

from api.auth.bulk.schemas import ListedUser, Outcomes
from api.auth.bulk.service import Lists
from api.auth.bulk.sheet import read_rows
from api.deps import ServicesDep, require
from api.envelope import Envelope, ok
from api.fields import Id
from api.scope import ScopeDep

router = APIRouter(prefix="/users", tags=["accounts"], dependencies=[Depends(require("admin"))])
_CSV = "name,role,email,external_id,classroom_id\nAda Example,student,,S-17,7\n"
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "array",
                    "maxItems": 5000,
                    "items": ListedUser.model_json_schema(),
                },
                "example": [{"name": "Ada Example", "external_id": "S-17", "classroom_id": 7}],
            },
            "text/csv": {"schema": {"type": "string"}, "example": _CSV},
        },
    }
}


def lists(services: ServicesDep) -> Lists:
    """The rules over the record."""
    fed = services.ingestion
    return Lists(services.postgres, fed.accounts.passwords, services.identities, fed.postman)


@router.post("/bulk", openapi_extra=_BODY)
async def bring_users(
    request: Request,
    lists: Annotated[Lists, Depends(lists)],
    scope: ScopeDep,
    school_id: Annotated[Id | None, Query(description="Only an operator names the school.")] = None,
    mail: Annotated[bool, Query(description="Off: accounts with an address get a one-time password too.")] = True,
) -> Envelope[Outcomes]:
    """Make up to 5,000 accounts of your school, from a JSON list or a CSV table.

    Each row has an outcome of its own; sending the list again makes nothing twice. Who has an address gets a mail to
    set his password, who has none a user name and a one-time password, told this once."""
    rows = read_rows(await request.body(), request.headers.get("content-type", ""))
    return ok(await lists.bring(scope, school_id, rows, mail), "List worked through.")
