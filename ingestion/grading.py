"""Is the answer right, and how much is it worth (0 to 1)? Pure; what a client says of it is not asked.

`answer_key` by type: an option's key or text; several of them as a JSON list or parted by `,`; `true`/`false`;
a number, `3.14±0.01`, `3.14:0.01` or `3..4`. No key: not graded.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from core.errors import InvalidField

_TRUE, _FALSE = {"true", "t", "yes", "1"}, {"false", "f", "no", "0"}


@dataclass(frozen=True, slots=True)
class Grade:
    """The answer in its normal form, whether it is right, and its score; None where nobody can say."""

    choice: str | None
    correct: bool | None = None
    score: float | None = None


def grade(qtype: str, options: Sequence[Any], answer_key: str | None, choice: Any) -> Grade:
    """Grade one answer; raises `InvalidField` for an option that does not exist. No answer at all is a wrong one."""
    if choice is None or choice == "" or choice == []:
        return Grade(None) if answer_key is None else Grade(None, False, 0.0)
    graders = {
        "single_choice": _grade_single,
        "multiple_select": _grade_several,
        "true_false": _grade_truth,
        "numeric": _grade_number,
        "free_text": _grade_text,
    }
    grader = graders.get(qtype)
    return grader(options, answer_key, choice) if grader else Grade(_text(choice))


def _verdict(choice: str, right: bool | None) -> Grade:
    return Grade(choice, right, None if right is None else float(right))


def _grade_single(options: Sequence[Any], answer_key: str | None, choice: Any) -> Grade:
    given = _option(options, _text(choice))
    right = None if answer_key is None else given == _option_of_key(options, answer_key)
    return _verdict(given, right)


def _grade_several(options: Sequence[Any], answer_key: str | None, choice: Any) -> Grade:
    given = {_option(options, item) for item in _items(choice, options)}
    text = ",".join(sorted(given))
    if answer_key is None:
        return Grade(text)
    right = {_option_of_key(options, item) for item in _items(answer_key, options)}
    score = max(0.0, (len(given & right) - len(given - right)) / len(right)) if right else 0.0
    return Grade(text, given == right, score)


def _grade_truth(options: Sequence[Any], answer_key: str | None, choice: Any) -> Grade:
    text = _text(choice)
    given = _truth(text)
    if options and (given is None or _find(options, text) is not None):
        return _grade_single(options, answer_key, choice)
    if given is None:
        _unknown(text, ["true", "false"])
    return _verdict(given, None if answer_key is None else given == _truth(answer_key))


def _grade_number(options: Sequence[Any], answer_key: str | None, choice: Any) -> Grade:  # noqa: ARG001
    text = _text(choice)
    if answer_key is None:
        return Grade(text)
    value, bounds = _number(text), _bounds(answer_key)
    if bounds is None:
        return Grade(text)
    return _verdict(text, value is not None and bounds[0] <= value <= bounds[1])


def _grade_text(options: Sequence[Any], answer_key: str | None, choice: Any) -> Grade:  # noqa: ARG001
    text = _text(choice)
    return _verdict(text, True if answer_key is not None and text.strip() == answer_key.strip() else None)


def _text(choice: Any) -> str:
    if isinstance(choice, bool):
        return str(choice).lower()
    if isinstance(choice, list):
        return ",".join(map(_text, choice))
    return str(choice)


def _option(options: Sequence[Any], text: str) -> str:
    """The key of the option of that key or text; any text when the question lists no options."""
    if not options:
        return text
    found = _find(options, text)
    if found is None:
        _unknown(text, _keys(options))
    return found


def _option_of_key(options: Sequence[Any], text: str) -> str:
    return _find(options, text) or text


def _find(options: Sequence[Any], text: str) -> str | None:
    keys = _keys(options)
    if text in keys:
        return text
    texts = [option.get("text") if isinstance(option, dict) else option for option in options]
    return keys[texts.index(text)] if texts.count(text) == 1 else None


def _keys(options: Sequence[Any]) -> list[str]:
    return [str(option.get("key")) if isinstance(option, dict) else str(option) for option in options]


def _unknown(text: str, known: Sequence[str]) -> NoReturn:
    raise InvalidField(
        f"There is no option {text[:100]!r}.", hint=f"Choose among {', '.join(known)}.", field="choice", options=known
    )


def _items(value: Any, options: Sequence[Any]) -> list[str]:
    if isinstance(value, list):
        return [_text(item) for item in value]
    text = str(value)
    if _find(options, text) is not None:
        return [text]
    if text.startswith("["):
        try:
            return [_text(item) for item in json.loads(text)]
        except ValueError:
            return [text]
    return [item.strip() for item in re.split(r"[,;|]", text) if item.strip()]


def _truth(text: str) -> str | None:
    word = text.strip().lower()
    return "true" if word in _TRUE else "false" if word in _FALSE else None


def _number(text: str) -> float | None:
    text = text.strip()
    if text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _bounds(answer_key: str) -> tuple[float, float] | None:
    for separator in ("±", ":", ".."):
        head, found, tail = answer_key.partition(separator)
        low, high = _number(head), _number(tail)
        if found and low is not None and high is not None:
            return (low, high) if separator == ".." else _around(low, high)
    value = _number(answer_key)
    return None if value is None else _around(value, 0.0)


def _around(value: float, tolerance: float) -> tuple[float, float]:
    """The closed interval, a hair wider: 3.15 is within 3.14±0.01 though floats say 3.1500000000000004 > 3.15."""
    slack = abs(tolerance) + 1e-9 * max(1.0, abs(value))
    return value - slack, value + slack
