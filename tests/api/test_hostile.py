"""Whatever is sent by whomever: no 500 and no answer that the OpenAPI document does not describe (schemathesis)."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from typing import Any

import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.responses import JSONResponse

from api.auth.tokens import Tokens
from api.principal import Principal
from tests.api.conftest import SECRET, School
from tests.api.serving import listening

_CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
_EXAMPLES = 40 if os.environ.get("EDU_HYPOTHESIS") == "nightly" else 3
_LEFT_OUT = {"/api/v1/auth/logout", "/auth/logout"}
"""A log-out would end the caller's own session."""


async def test_no_role_can_make_the_server_fail_or_answer_what_is_not_documented(
    application: FastAPI, school: School
) -> None:
    operator = Tokens(SECRET, timedelta(minutes=30)).issue(Principal(role="operator", subject="hostile"))
    tokens = {
        "anonymous": None,
        "student": school.student.tokens["access_token"],
        "teacher": school.teacher.tokens["access_token"],
        "admin": school.admin.tokens["access_token"],
        "operator": operator,
    }
    async with listening(application) as port:
        faults = await asyncio.to_thread(_attacked, f"http://127.0.0.1:{port}", tokens)
    assert not faults, "\n\n".join(faults)


def _attacked(url: str, tokens: dict[str, str | None]) -> list[str]:
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    faults, tried = [], 0
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        if operation.path in _LEFT_OUT:
            continue
        tried += 1
        for role, token in tokens.items():
            faults += _fault(operation, role, token)
    assert tried > 40, "hardly any route was tried"
    return faults


def _fault(operation: Any, role: str, token: str | None) -> list[str]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    @settings(
        max_examples=_EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def attack(case: Any) -> None:
        response = case.call(headers=headers, timeout=60)
        case.validate_response(response, checks=_CHECKS)

    try:
        attack()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return [f"{role}: {operation.method} {operation.path}: {str(error)[:700]}"]
    return []


async def test_a_fault_is_found() -> None:
    app = FastAPI()

    @app.get("/breaks")
    async def breaks(number: int = 0) -> JSONResponse:
        return JSONResponse({"number": number}, 500)

    async with listening(app) as port:
        faults = await asyncio.to_thread(_first_fault, f"http://127.0.0.1:{port}/openapi.json")
    assert "Server error" in faults[0]


def _first_fault(url: str) -> list[str]:
    (found,) = schemathesis.openapi.from_url(url).get_all_operations()
    assert isinstance(found, Ok)
    return _fault(found.ok(), "anonymous", None)
