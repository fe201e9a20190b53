"""What an app could send yesterday it can send today: our own event types beside the copy of them in a file.

A type or field that is gone, a new field or id that is needed, or a narrower type fails, and so does an addition until
the copy is made anew: `python -m tests.ingestion.test_event_types_stay`.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ingestion.events import TYPES, Body

_COPY = Path(__file__).with_name("event_types.json")
_MOST = ("maximum", "maxLength", "maxItems", "exclusiveMaximum")
_LEAST = ("minimum", "minLength", "minItems", "exclusiveMinimum")


def stored() -> dict[str, Any]:
    """The types as they were."""
    return dict(json.loads(_COPY.read_text()))


def current() -> dict[str, Any]:
    """The types as they are: JSON Schemas of their metadata, the ids that they need, whether students send them."""
    found: dict[str, Any] = {"body": _schema(Body)}
    for (name, version), kind in sorted(TYPES.items()):
        place = {"needs": sorted(kind.needs), "by_students": kind.by_students, "app": kind.app}
        found[f"{name} {version}"] = {**place, **_schema(kind.metadata)}
    return found


def _schema(kind: Any) -> dict[str, Any]:
    (schema,) = msgspec.json.schema_components([kind], ref_template="{name}")[1].values()
    fields = {name: _forms(field) for name, field in schema["properties"].items()}
    return {"required": sorted(schema.get("required", ())), "fields": fields}


def _forms(field: dict[str, Any]) -> list[dict[str, Any]]:
    return [{key: value for key, value in form.items() if key != "default"} for form in field.get("anyOf", [field])]


def breaks(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What could be sent and cannot any more, in words."""
    found = []
    for name, old in before.items():
        new = after.get(name)
        if new is None:
            found.append(f"{name} is gone")
            continue
        found += [f"{name} now needs {field}" for field in _more(old, new, "required") + _more(old, new, "needs")]
        found += [f"{name}.{field} is gone" for field in old["fields"] if field not in new["fields"]]
        found += [
            f"{name}.{field} is narrower"
            for field, forms in old["fields"].items()
            if field in new["fields"] and not all(any(_holds(n, o) for n in new["fields"][field]) for o in forms)
        ]
        if old.get("by_students") and not new["by_students"]:
            found.append(f"{name} is closed to students")
        if old.get("app") != new.get("app"):
            found.append(f"{name} has another app")
    return found


def _more(old: dict[str, Any], new: dict[str, Any], key: str) -> list[str]:
    return sorted(set(new.get(key, ())) - set(old.get(key, ())))


def _holds(wide: dict[str, Any], narrow: dict[str, Any]) -> bool:
    """Whether all that `narrow` takes `wide` takes too."""
    kinds = {"number", "integer"} if wide.get("type") == "number" else {wide.get("type")}
    if narrow.get("type") not in kinds or ("enum" in wide and not set(narrow.get("enum", [None])) <= set(wide["enum"])):
        return False
    upper = all(key not in wide or narrow.get(key, float("inf")) <= wide[key] for key in _MOST)
    lower = all(key not in wide or narrow.get(key, float("-inf")) >= wide[key] for key in _LEAST)
    same = all(wide.get(key) in (None, narrow.get(key)) for key in ("format", "pattern"))
    return upper and lower and same and ("items" not in wide or _holds(wide["items"], narrow.get("items", {})))


def test_what_could_be_sent_can_be_sent() -> None:
    assert breaks(stored(), current()) == []


def test_the_copy_is_the_newest() -> None:
    assert stored() == current(), "Added to the types? Run: python -m tests.ingestion.test_event_types_stay"


def _needs_more(types: dict[str, Any]) -> None:
    types["content_viewed 1"]["required"].append("title")


def _needs_an_id(types: dict[str, Any]) -> None:
    types["app_error 1"]["needs"].append("quiz_id")


def _is_shorter(types: dict[str, Any]) -> None:
    types["content_viewed 1"]["fields"]["content_id"][0]["maxLength"] -= 1


def _takes_no_null(types: dict[str, Any]) -> None:
    fields = types["answer_submitted 1"]["fields"]
    fields["time_spent"] = [form for form in fields["time_spent"] if form["type"] != "null"]


def _takes_one_app(types: dict[str, Any]) -> None:
    for form in types["body"]["fields"]["app"]:
        if "enum" in form:
            form["enum"] = form["enum"][:1]


@pytest.mark.parametrize(
    "change",
    [
        lambda types: types.pop("quiz_ended 1"),
        lambda types: types["quiz_ended 1"]["fields"].pop("end_time"),
        _needs_more,
        _needs_an_id,
        _is_shorter,
        _takes_no_null,
        _takes_one_app,
        lambda types: types["app_error 1"].update(by_students=False),
    ],
)
def test_a_change_that_breaks_apps_is_told(change: Callable[[dict[str, Any]], object]) -> None:
    types = copy.deepcopy(current())
    change(types)
    assert breaks(current(), types)


def test_an_addition_breaks_nobody() -> None:
    types = copy.deepcopy(current())
    types["quiz_paused 1"] = types["quiz_ended 1"]
    types["content_viewed 1"]["fields"]["language"] = [{"type": "string"}]
    types["content_viewed 1"]["fields"]["title"][0].pop("maxLength", None)
    assert breaks(current(), types) == []


if __name__ == "__main__":
    _COPY.write_text(json.dumps(current(), indent=1) + "\n")
