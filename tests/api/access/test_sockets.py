"""Who may say what on /ws/quiz: sockets.yml against the whole application."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, get_args

import httpx2
import yaml
from fastapi import FastAPI

from core.postgres import Postgres
from realtime.protocol import AnswerSubmitted, ClientMessage, Refresh, Sync
from tests.api.access.world import CALLERS, SERVICE, STRANGERS, World, make_world
from tests.api.conftest import data
from tests.realtime.guests import Guest, joined, visiting
from tests.realtime.nodes import served

_TABLE: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("sockets.yml").read_text())
_EVERYBODY = (*CALLERS, SERVICE, *STRANGERS)
_ACKNOWLEDGED = {"answer_submitted": "answer_ack", "refresh": "refreshed", "sync": "sync", "leave": "left"}
_UNANSWERED = {"pong"}


def test_every_word_and_every_caller_is_in_the_table() -> None:
    words = {frame.__struct_config__.tag for frame in _members(ClientMessage)}
    assert words == set(_TABLE["words"])
    assert {AnswerSubmitted, Refresh, Sync} <= set(_members(ClientMessage))
    assert set(_TABLE["callers"]) == set(_EVERYBODY)


def _members(union: Any) -> list[Any]:
    return [found for part in get_args(union) for found in (_members(part) if get_args(part) else [part])]


async def test_each_caller_is_heard_as_his_role_may_be(
    application: FastAPI, client: httpx2.AsyncClient, postgres: Postgres
) -> None:
    world = await make_world(application, client, postgres)
    async with served(application) as url:
        found = {caller: await _said(world, url, caller) for caller in _EVERYBODY}
    assert found == _TABLE["callers"]


async def _said(world: World, url: str, caller: str) -> str:
    """What was answered to each word, in one line."""
    admin, target = world.people["h.admin"], world.target
    wish = {"classroom_id": target["classroom"], "quiz_id": target["quiz"]}
    session = data(await admin.post("/api/v1/live/sessions", wish), 201)["session_id"]
    drives = caller in _TABLE["drivers"]
    async with joined(url, str(admin.tokens["access_token"]), session_id=session) as driver, visiting(url) as guest:
        if not drives:
            await driver.send("quiz_started")
            await driver.send("question_displayed", question_id=target["question"])
            await driver.expect("question_displayed")
        told = await _words(world, guest, caller, session)
        assert world.leaked(caller, "".join(guest.texts)) == [], caller
        await driver.send("quiz_ended")
        await driver.until(lambda frame: frame.get("event") in {"quiz_ended", "error"})
    return told


async def _words(world: World, guest: Guest, caller: str, session: int) -> str:
    await guest.send("join", token=world.tokens[caller] or "", session_id=session)
    first = await guest.until(lambda frame: frame.get("event") in {"joined", "error"})
    if first["event"] == "error":
        return f"out {first['code']}"
    return " ".join([await _word(world, guest, caller, word) for word in _TABLE["words"]])


async def _word(world: World, guest: Guest, caller: str, word: str) -> str:
    fields: dict[str, Any] = {
        "question_displayed": {"question_id": world.target["question"]},
        "answer_submitted": {"question_id": world.target["question"], "answer": "3/4"},
        "question_extended": {"seconds": 5},
        "student_kicked": {"user_id": world.target["student"]},
        "student_allowed": {"user_id": world.target["student"]},
        "pong": {"nonce": 0},
        "refresh": {"token": world.tokens[caller]},
    }.get(word, {})
    await asyncio.sleep(0.05)
    await guest.send(word, id=word, **fields)
    if word in _UNANSWERED:
        return "ok"
    good = _ACKNOWLEDGED.get(word, "command_ack")
    answer = await guest.until(
        lambda frame: frame.get("event") == good or (frame.get("event") == "error" and frame.get("id") == word), word
    )
    return "ok" if answer["event"] == good and answer.get("status") != "refused" else str(answer.get("code", "refused"))
