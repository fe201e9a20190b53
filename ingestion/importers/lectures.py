"""What a made-up quiz lesson leaves behind: a session, responses, and the events of the taxonomy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from ingestion.importers.items import LETTERS, SUBJECTS, Item
from ingestion.importers.sittings import Round, Sitting
from ingestion.importers.source import Record
from ingestion.importers.timetable import Lesson

_HELP = 3.0


@dataclass(frozen=True)
class Lecture:
    """One sitting with all that its rows name."""

    school: int
    classroom: int
    lesson: Lesson
    items: tuple[Item, ...]
    quiz: str
    sitting: Sitting

    @property
    def room(self) -> str:
        """The classroom's key."""
        return room_key(self.school, self.classroom)

    @property
    def session(self) -> str:
        """The session's key; a classroom has one a day."""
        return f"{self.room}-{self.lesson.day}"

    @property
    def teacher(self) -> str:
        """The teacher's key."""
        return f"s{self.school}t{self.classroom}"

    @property
    def end(self) -> datetime:
        """When the session ended, in whole milliseconds."""
        return self.after(self.sitting.length)

    @property
    def by_author(self) -> bool:
        """Whether this classroom's teacher wrote the quiz: the subject's first one in the first school."""
        return self.school == 1 and self.classroom <= len(SUBJECTS)

    def after(self, seconds: float) -> datetime:
        """So long after the start, in whole milliseconds."""
        return self.lesson.start + timedelta(milliseconds=round(seconds * 1000))

    def student(self, place: int) -> str:
        """The key of the student at a place of the classroom's list."""
        return f"{self.room}p{place + 1}"


def room_key(school: int, classroom: int) -> str:
    """The source's id of a classroom."""
    return f"s{school}c{classroom}"


def subject_of(classroom: int) -> str:
    """What is taught in the classroom."""
    return SUBJECTS[(classroom - 1) % len(SUBJECTS)]


def session_rows(lecture: Lecture) -> Iterator[Record]:
    """The one row of `sessions`."""
    yield (lecture.session, lecture.quiz, lecture.room, lecture.lesson.start, lecture.end)


def response_rows(lecture: Lecture, numbers: Iterator[int]) -> Iterator[Record]:
    """The rows of `responses`."""
    session, quiz, room = lecture.session, lecture.quiz, lecture.room
    keys = [item.key for item in lecture.items]
    for each in lecture.sitting.rounds:
        for student, item, letter, correct, seconds, moment in _answers(lecture, each):
            number = str(next(numbers))
            marks = (each.attempt, letter, correct, float(correct), seconds, moment)
            yield (number, session, quiz, room, keys[item], student, *marks)


def event_rows(lecture: Lecture) -> Iterator[Record]:
    """The rows of `events`: the five of the quiz taxonomy, log-ins, and calls for help."""
    start, teacher = lecture.lesson.start, lecture.teacher
    if lecture.by_author:
        created = {"title": lecture.quiz, "question_count": len(lecture.items)}
        yield _event(lecture, "quiz_created", teacher, start - timedelta(hours=16), created, session=None)
    for place in lecture.sitting.present.tolist():
        early = timedelta(seconds=20 + (place * 37 + lecture.lesson.day.toordinal() * 11) % 240)
        yield _event(lecture, "student_login", lecture.student(place), start - early, {}, f"-p{place + 1}")
    yield _event(lecture, "quiz_started", teacher, start, {"start_time": _iso(start)})
    for each in lecture.sitting.rounds:
        yield from _displayed(lecture, each)
        yield from _submitted(lecture, each)
    yield _event(lecture, "quiz_ended", teacher, lecture.end, {"end_time": _iso(lecture.end)})


def _displayed(lecture: Lecture, each: Round) -> Iterator[Record]:
    for item, seconds in enumerate(each.shown.tolist()):
        at, part = lecture.after(seconds), f"-{each.attempt}-{item + 1}"
        shown, question = {"display_time": _iso(at)}, lecture.items[item].key
        yield _event(lecture, "question_displayed", lecture.teacher, at, shown, part, question)


def _submitted(lecture: Lecture, each: Round) -> Iterator[Record]:
    for student, item, letter, correct, seconds, moment in _answers(lecture, each):
        question, part = lecture.items[item].key, f"-{each.attempt}-{item + 1}-{student}"
        said = {"answer": letter, "correct": correct, "time_spent": seconds, "attempt_number": each.attempt}
        yield _event(lecture, "answer_submitted", student, moment, said, part, question)
        if not correct and seconds > _HELP * lecture.items[item].seconds:
            half = moment - timedelta(milliseconds=round(seconds * 500))
            topic = {"topic": subject_of(lecture.classroom)}
            yield _event(lecture, "help_requested", student, half, topic, part, question)


def _event(
    lecture: Lecture,
    name: str,
    who: str,
    at: datetime,
    props: dict[str, Any],
    part: str = "",
    question: str | None = None,
    session: str | None = "",
) -> Record:
    """One event; `part` tells it from its like within the session."""
    app = "whiteboard" if who == lecture.teacher else "notebook"
    key, data = f"{lecture.session}-{name}{part}", orjson.dumps(props).decode()
    held = lecture.session if session == "" else session
    return (key, name, app, who, lecture.quiz, lecture.room, data, at, held, question)


def _answers(lecture: Lecture, each: Round) -> Iterator[tuple[str, int, str, bool, float, datetime]]:
    """(student, item, letter, correct by the recorded key, seconds, moment) of an attempt's answers."""
    keys, start = [item.recorded for item in lecture.items], lecture.lesson.start
    students = [lecture.student(place) for place in range(int(each.student.max(initial=0)) + 1)]
    offsets = ((each.shown[each.item] + each.seconds) * 1000).round().tolist()
    columns = (each.student.tolist(), each.item.tolist(), each.choice.tolist(), each.seconds.tolist(), offsets)
    for place, item, choice, seconds, offset in zip(*columns, strict=True):
        moment = start + timedelta(milliseconds=offset)
        yield students[place], item, LETTERS[choice], choice == keys[item], seconds, moment


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
