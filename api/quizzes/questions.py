"""One form for every way to write a question: keyed options, and the answer key as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from api.quizzes.schemas import NewQuestion, Option
from core.errors import InvalidField
from ingestion.grading import grade

_TRUE, _FALSE = {"true", "yes", "1"}, {"false", "no", "0"}


@dataclass(frozen=True)
class Prepared:
    """A question ready for the record; `answer_key` of a multiple select is its keys, sorted, joined by commas."""

    title: str
    qtype: str
    options: tuple[dict[str, Any], ...]
    answer_key: str | None
    max_score: float
    skills: tuple[str, ...]

    @property
    def columns(self) -> dict[str, Any]:
        """For SQL."""
        return {
            "title": self.title,
            "qtype": self.qtype,
            "options": list(self.options),
            "answer_key": self.answer_key,
            "max_score": self.max_score,
            "skills": list(self.skills),
        }


def prepare(question: NewQuestion, where: str) -> Prepared:
    """The question in our form; raises `InvalidField` with its place, e.g. `questions.0.answer_key`."""
    if question.title is None:
        raise InvalidField("A question needs a title.", field=f"{where}.title")
    qtype = question.qtype or _told_type(question)
    options = _keyed(question.options, where)
    if qtype in {"single_choice", "multiple_select"} and not options:
        raise InvalidField("A question with a choice needs options.", field=f"{where}.options")
    key = _key(qtype, question.answer_key, options, f"{where}.answer_key")
    return Prepared(question.title, qtype, options, key, question.max_score, tuple(question.skills))


def _told_type(question: NewQuestion) -> str:
    if question.options:
        return "multiple_select" if isinstance(question.answer_key, list) else "single_choice"
    if isinstance(question.answer_key, bool):
        return "true_false"
    return "numeric" if isinstance(question.answer_key, float | int) else "free_text"


def _keyed(options: list[Option | str], where: str) -> tuple[dict[str, Any], ...]:
    keyed = []
    for index, option in enumerate(options):
        if isinstance(option, str):
            keyed.append({"key": letter(index), "text": option})
        else:
            keyed.append(option.model_dump(exclude_none=True))
    keys = [option["key"] for option in keyed]
    if len(set(keys)) != len(keys):
        raise InvalidField("Two options have the same key.", field=f"{where}.options")
    return tuple(keyed)


def letter(index: int) -> str:
    """A, B … Z, AA, AB …"""
    text = ""
    number = index + 1
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(ord("A") + rest) + text
    return text


def _key(qtype: str, key: Any, options: tuple[dict[str, Any], ...], where: str) -> str | None:
    if qtype == "scored_item" or key is None:
        if key is None and qtype in {"free_text", "scored_item"}:
            return None
        raise InvalidField(f"A {qtype} question {'needs a' if key is None else 'has no'} key.", field=where)
    if qtype == "single_choice":
        return _option_key(key, options, where)
    if qtype == "multiple_select":
        parts = key if isinstance(key, list) else str(key).split(",")
        return ",".join(sorted({_option_key(part, options, where) for part in parts}))
    if qtype == "true_false":
        return _truth(key, where)
    if isinstance(key, list):
        raise InvalidField("One answer, not a list.", field=where)
    return _number(key, where) if qtype == "numeric" else str(key)


def _option_key(key: Any, options: tuple[dict[str, Any], ...], where: str) -> str:
    text = str(key).strip()
    found = [option["key"] for option in options if option["key"] == text]
    found = found or [option["key"] for option in options if option["text"] == text]
    if len(found) != 1 or isinstance(key, list):
        keys = ", ".join(option["key"] for option in options[:20])
        raise InvalidField(f"The key is none of the options ({keys}).", field=where)
    return str(found[0])


def _truth(key: Any, where: str) -> str:
    text = str(key).strip().lower()
    if text not in _TRUE | _FALSE:
        raise InvalidField("The key is true or false.", field=where)
    return "true" if text in _TRUE else "false"


def _number(key: Any, where: str) -> str:
    text = f"{key:.15g}" if isinstance(key, int | float) else str(key).strip()
    if grade("numeric", (), text, "0").correct is None:
        raise InvalidField("The key is a number, also «3.14±0.01» or «3..4».", field=where)
    return text
