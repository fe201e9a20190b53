"""Every recorded exchange of the npm client with Cube, asked of our server: same status, same body, but for what
`wire_deviations.yml` lists with its reason. A deviation that no longer occurs must go from the list."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from fastapi import FastAPI

from tests.api.queries.conftest import caller, token
from tests.shared import SHARED

_FOLDER = SHARED / "cases" / "cube_wire" if SHARED else None
_NAMES = sorted(path.stem for path in _FOLDER.glob("*.json")) if _FOLDER else []
_DEVIATIONS: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent / "wire_deviations.yml").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", _NAMES)
async def test_answers_as_cube_answered(name: str, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _FOLDER is not None
    case = json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    for exchange in case["wire"]:
        recorded = exchange["response"]
        moment = parsedate_to_datetime(recorded["headers"]["date"]).astimezone(UTC)
        monkeypatch.setattr("core.clock.now", lambda moment=moment: moment)
        answer = await _ask(client, exchange["request"])
        found = set(differences(recorded["body"], _moment_free(answer.json())))
        if answer.status_code != recorded["status"]:
            found.add("status")
        expected = [each for each in _DEVIATIONS if _concerns(each, name) and _due(each, recorded["body"])]
        unlisted = {path for path in found if not any(_matches(each, path) for each in expected)}
        assert not unlisted, f"{sorted(unlisted)}\nrecorded {recorded['body']}\nours {answer.text[:3000]}"
        gone = [each for each in expected if not any(_matches(each, path) for path in found)]
        assert not gone, f"no longer deviates: {gone}"


def test_every_deviation_is_of_a_recorded_case_and_has_a_reason() -> None:
    if not _NAMES:
        pytest.skip("needs shared data: cases/cube_wire is not on this machine")
    for each in _DEVIATIONS:
        assert each["reason"]
        assert all(any(fnmatch(name, pattern) for name in _NAMES) for pattern in each["cases"]), each


async def _ask(client: httpx2.AsyncClient, request: dict[str, Any]) -> httpx2.Response:
    if "?" in request["path"] or request["method"] == "POST":
        return await client.request(request["method"], request["path"], json=request.get("body"))
    params = {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in request.get("params", {}).items()
    }
    return await client.get(request["path"], params=params)


def _moment_free(body: Any) -> Any:
    """The body as it is; when its rows were read must be a time."""
    for result in body.get("results", [body]) if isinstance(body, dict) else []:
        if "lastRefreshTime" in result:
            datetime.fromisoformat(result["lastRefreshTime"])
    return body


def differences(expected: Any, found: Any, path: str = "") -> list[str]:
    """The JSON paths at which two bodies differ; rows without an order are compared as a multiset."""
    if path.endswith("lastRefreshTime"):
        return []
    if path.endswith("data"):
        return [] if _multiset(_rows(expected)) == _multiset(_rows(found)) else [path]
    if isinstance(expected, dict) and isinstance(found, dict):
        keys = {*expected, *found}
        return [
            each
            for key in sorted(keys)
            for each in (
                differences(expected[key], found[key], f"{path}.{key}".lstrip("."))
                if key in expected and key in found
                else [f"{path}.{key}".lstrip(".")]
            )
        ]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        return [each for index, (one, other) in pairs for each in differences(one, other, f"{path}[{index}]")]
    return [] if expected == found else [path]


def _rows(data: Any) -> list[Any]:
    if "columns" not in data:
        return list(data)
    return [dict(zip(data["members"], row, strict=True)) for row in zip(*data["columns"], strict=True)]


def _multiset(rows: list[Any]) -> Counter[str]:
    return Counter(json.dumps(row, sort_keys=True) for row in rows)


def _concerns(deviation: dict[str, Any], name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in deviation["cases"])


def _due(deviation: dict[str, Any], body: Any) -> bool:
    """One of refusals only (`only: error`) is due where the recorded answer is a refusal."""
    return "only" not in deviation or deviation["only"] in body


def _matches(deviation: dict[str, Any], path: str) -> bool:
    patterns = (re.escape(each).replace(r"\*", ".*") for each in deviation["paths"])
    return any(re.fullmatch(pattern, path) for pattern in patterns)


_AUTH = sorted(path.stem for path in (_FOLDER / "auth").glob("*.json")) if _FOLDER else []


@pytest.mark.parametrize("name", _AUTH)
async def test_lets_in_whom_cube_let_in(name: str, orders_app: FastAPI) -> None:
    """Cube's good tokens were signed with its own secret; a good one of ours stands for them, in the same form."""
    assert _FOLDER is not None
    case = json.loads((_FOLDER / "auth" / f"{name}.json").read_text(encoding="utf-8"))
    for exchange in case["wire"]:
        request, recorded = exchange["request"], exchange["response"]
        headers = dict(request.get("headers", {}))
        if recorded["status"] == 200 and "Authorization" in headers:
            headers["Authorization"] = re.sub(r"\S+$", token(), headers["Authorization"])
        async with caller(orders_app, **headers) as client:
            answer = await _ask(client, request)
        assert answer.status_code == recorded["status"]
        assert set(differences(recorded["body"], answer.json())) <= {"dbType"}, "these were recorded over Postgres"
