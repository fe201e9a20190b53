"""The leaderboard and each pupil's own result, found from the record after each reveal and at the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from realtime.answers import Answers
from realtime.people import People
from realtime.protocol import Leaderboard, LogFrame, QuestionRevealed, QuizEnded, Result, TeamPlace
from realtime.scoring import SHOWN, Scored, counted, places, ranks, totals
from realtime.session import Sitting
from realtime.state import Phase, State
from realtime.teams import standings


class Board:
    """Points of one room; `read` again whenever answers have begun to count."""

    def __init__(self, sitting: Sitting, answers: Answers, people: People) -> None:
        self._sitting = sitting
        self._answers = answers
        self._people = people
        self._state = State()
        self._totals: dict[int, int] = {}
        self._ranks: dict[int, int] = {}
        self._newest: dict[int, Scored] = {}
        self.shown: Leaderboard | None = None

    async def read(self, state: State) -> None:
        """Count everything anew as the log stands at `state`."""
        answers = await self._answers.scored(self._sitting)
        sums = totals(state, answers, self._sitting.rules)
        best = sorted(sums, key=lambda student: -sums[student])
        limit = sums[best[SHOWN - 1]] if len(best) > SHOWN else 0
        names = await self._people.names(self._sitting.session_id, [who for who in best if sums[who] >= limit])
        self._state, self._totals, self._ranks = state, sums, ranks(sums)
        self._newest = {answer.student_id: answer for answer in answers if _is_newest(state, answer)}
        self.shown = Leaderboard(places=places(sums, names), of=len(sums), teams=await self._standings(sums))

    async def _standings(self, sums: Mapping[int, int]) -> tuple[TeamPlace, ...]:
        if not (names := self._sitting.rules.teams):
            return ()
        return standings(sums, await self._people.teams(self._sitting.session_id), names)

    async def recall(self, state: State, events: Iterable[LogFrame]) -> None:
        """Count when something was revealed before this node knew the room."""
        if any(isinstance(event, QuestionRevealed | QuizEnded) for event in events):
            await self.read(state)

    def result(self, student_id: int) -> Result | None:
        """What one pupil is told; None before the first reveal."""
        if self.shown is None:
            return None
        revealed = self._state.question_id if self._state.phase is Phase.REVEALED else None
        answer = self._newest.get(student_id) if revealed is not None else None
        ranked: Mapping[int, int] = self._ranks if self._sitting.rules.leaderboard else {}
        return Result(
            question_id=revealed,
            correct=None if answer is None else answer.correct,
            points=0 if answer is None else counted(self._state, answer, self._sitting.rules),
            total=self._totals.get(student_id, 0),
            rank=ranked.get(student_id),
        )


def _is_newest(state: State, answer: Scored) -> bool:
    asked = state.round
    return asked is not None and answer.question_id == state.question_id and answer.run == asked.run
