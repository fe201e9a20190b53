"""Legal holds: while one stands on a person or on his school, nothing of him is erased, nothing of it is dropped.

`holds` of the record: `user_id` null means the whole school; `released_at` null means that it stands.
"""

from __future__ import annotations

from core.postgres import Connection
from ingestion.batches import Blocking

STANDING = """
select id from holds where released_at is null
  and (user_id = %(user)s or user_id is null and school_id = %(school)s) order by id
"""


def holding(connection: Blocking, user_id: int, school_id: int | None) -> list[int]:
    """The numbers of the holds on a person or his school."""
    rows = connection.execute(STANDING, {"user": user_id, "school": school_id}).fetchall()
    return [row["id"] for row in rows]


async def standing(connection: Connection, user_id: int | None, school_id: int | None) -> list[int]:
    """The same for a request."""
    rows = await (await connection.execute(STANDING, {"user": user_id, "school": school_id})).fetchall()
    return [row["id"] for row in rows]
