"""What most would write: FastAPI, pydantic, a session of SQLAlchemy, an insert and a commit for each event.

`python -m benchmarks.plain_service POSTGRES_URL PORT`
"""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import AwareDatetime, BaseModel
from sqlalchemy import JSON, BigInteger, Column, DateTime, MetaData, SmallInteger, String, Table, Uuid, create_engine

from core.ids import derived_id

_TABLE = Table(
    "events", MetaData(), Column("event_id", Uuid), Column("school_id", BigInteger), Column("user_id", BigInteger),
    Column("classroom_id", BigInteger), Column("quiz_id", BigInteger), Column("question_id", BigInteger),
    Column("event_name", String), Column("schema_version", SmallInteger), Column("app", String),
    Column("occurred_at", DateTime(timezone=True)), Column("client_id", String), Column("props", JSON),
)  # fmt: skip


class Event(BaseModel):
    """An event as the benchmark sends it."""

    event_name: str
    app: str
    user_id: int
    classroom_id: int
    quiz_id: int
    metadata: dict[str, Any]
    timestamp: AwareDatetime
    client_id: str


def create(url: str) -> FastAPI:
    """The service over a Postgres."""
    app = FastAPI()
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"), pool_size=20)

    @app.post("/events", status_code=202)
    def store(event: Event) -> dict[str, bool]:
        values = event.model_dump(exclude={"metadata", "timestamp"}) | {
            "event_id": derived_id(event.timestamp, 1, event.client_id), "school_id": 1, "schema_version": 1,
            "question_id": event.metadata["question_id"], "occurred_at": event.timestamp, "props": event.metadata,
        }  # fmt: skip
        with engine.begin() as connection:
            connection.execute(_TABLE.insert().values(values))
        return {"success": True}

    return app


if __name__ == "__main__":
    uvicorn.run(create(sys.argv[1]), port=int(sys.argv[2]), log_level="warning", access_log=False)
