"""How a question was answered before, for the teacher who shows it: from the cubes, sums only."""

from __future__ import annotations

from typing import Any

from api.reports.tables import load_table
from engine.query.access import SecurityContext
from engine.run.engine import Engine
from realtime.protocol import History
from realtime.session import Sitting

FEWEST = 5
"""Of fewer answers nothing is told: they might be told apart."""


class CubeHistory:
    """Asks as the school's admin would, and hands on two numbers (realtime.shows.ItemHistory)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def __call__(self, sitting: Sitting, question_id: int, /) -> History | None:
        """Answers of other sittings of the school to this question, and their accuracy."""
        query: dict[str, Any] = {
            "measures": ["responses.count", "responses.accuracy"],
            "filters": [
                {"member": "responses.question_id", "operator": "equals", "values": [str(question_id)]},
                {"member": "responses.session_id", "operator": "notEquals", "values": [str(sitting.session_id)]},
            ],
        }
        attributes = {
            "school_id": sitting.school_id,
            "school_ids": [sitting.school_id],
            "user_id": None,
            "classroom_ids": [],
            "student_ids": [],
        }
        table = await load_table(self._engine, query, SecurityContext(frozenset({"admin"}), attributes))
        row = table.rows[0] if table.rows else {}
        answers = int(row.get("responses.count") or 0)
        if answers < FEWEST:
            return History(answers=0, accuracy=None)
        accuracy = row.get("responses.accuracy")
        return History(answers=answers, accuracy=None if accuracy is None else float(accuracy))
