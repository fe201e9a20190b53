"""Every example of the contract is said to a running server, and all that comes back is as the contract says."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from realtime.protocol import Close
from tests.realtime.conftest import Room, open_room
from tests.realtime.contract import CONTRACT, MESSAGES, examples, faults
from tests.realtime.guests import Guest, visiting
from tests.realtime.nodes import Node
from tests.realtime.world import World, token

TEACHER = (
    "quiz_started", "question_displayed", "question_extended", "question_paused", "question_resumed",
    "question_restarted", "question_locked", "question_revealed", "question_displayed", "question_skipped",
    "student_kicked", "student_allowed", "sync", "refresh", "pong",
)  # fmt: skip


def test_every_example_is_what_its_schema_says() -> None:
    found = [fault for side in ("say", "hear") for frame in examples(side).values() for fault in faults(side, frame)]
    assert found == []
    assert {name.partition(".")[2] for name in MESSAGES} == {*examples("say"), *examples("hear")}
    assert set(CONTRACT["channels"]["quiz"]["x-close-codes"]) == set(map(int, Close))


async def test_every_example_is_understood_and_every_frame_that_comes_back_is_in_the_contract(
    world: World, node: Node
) -> None:
    heard: list[dict[str, Any]] = []
    for rules in ({"nicknames": True, "seconds": 60, "teams": ("Red", "Blue")}, {"mode": "self_paced"}):
        room = await open_room(world, node, **rules)
        async with visiting(node.url) as teacher, visiting(node.url) as ann, visiting(node.url) as ben:
            await _play(room, teacher, ann, ben)
            heard += teacher.frames + ann.frames + ben.frames
    assert [fault for frame in heard for fault in faults("hear", frame)] == []
    assert {frame["event"] for frame in heard} == set(examples("hear"))
    assert not [frame for frame in heard if frame.get("code") == "bad_frame"]


async def _play(room: Room, teacher: Guest, ann: Guest, ben: Guest) -> None:
    world = room.world
    keep = {"join_code": room.opened.join_code}
    people = ((ann, world.pupils[0], "student"), (teacher, world.teacher, "teacher"), (ben, world.pupils[1], "student"))
    for guest, user, role in people:
        await _say(guest, "join", token=token(user, role, world.school), **keep)
        await guest.expect("joined")
        if guest is teacher:
            await teacher.expect("presence")
    await ann.expect("host")
    await teacher.until(lambda frame: frame.get("event") == "student_joined" and _names(frame, world.pupils[1]))
    shown = list(world.questions)
    for word in TEACHER:
        fields: dict[str, dict[str, Any]] = {
            "question_displayed": {"question_id": shown[0]},
            "question_restarted": {"question_id": shown[0]},
            "student_kicked": {"user_id": world.pupils[1]},
            "student_allowed": {"user_id": world.pupils[1]},
            "refresh": {"token": token(world.teacher, "teacher", world.school)},
        }
        await _say(teacher, word, **fields.get(word, {}))
        if word != "pong":
            await teacher.until(_answers(word), word)
        if word == "quiz_started" and ann.frames[0]["rules"]["mode"] == "self_paced":
            await ann.expect("turn")
        if word == "question_restarted":
            await _say(ann, "answer_submitted", question_id=shown[0])
            await ann.until(lambda frame: frame.get("id") == 1, "ack")
            await teacher.until(lambda frame: frame.get("event") in {"histogram", "progress"})
        if word == "question_revealed":
            shown = shown[1:]
    await _say(teacher, "quiz_ended")
    await ann.expect("leaderboard")
    await ann.expect("result")
    await _say(ann, "leave")
    assert await ann.closed() == 1000
    await teacher.expect("quiz_ended")
    await teacher.until(lambda frame: frame.get("event") == "student_left" and _names(frame, world.pupils[0]))


def _names(frame: dict[str, Any], user: int) -> bool:
    return user in {each["user_id"] for each in frame["students"]}


def _answers(word: str) -> Callable[[dict[str, Any]], bool]:
    return lambda frame: frame.get("id") == examples("say")[word]["id"]


async def _say(guest: Guest, word: str, **fields: Any) -> None:
    await guest.socket.send(json.dumps(examples("say")[word] | fields))


async def test_versions_are_negotiated(node: Node, room: Room) -> None:
    async with visiting(node.url) as guest:
        assert guest.socket.subprotocol == "edu.live.v1"
    newer = [Subprotocol(name) for name in ("edu.live.v9", "edu.live.v1")]
    async with visiting(node.url, subprotocols=newer) as guest:
        assert guest.socket.subprotocol == "edu.live.v1"
    with pytest.raises(InvalidStatus) as refusal:
        await connect(node.url, subprotocols=[Subprotocol("edu.live.v9")])
    assert refusal.value.response.status_code == 400
    assert json.loads(refusal.value.response.body or b"")["error"]["details"]["supported"] == ["edu.live.v1"]


async def test_a_client_of_the_design_document_works_once_it_says_its_token(room: Room) -> None:
    world = room.world
    async with (
        visiting(room.node.url, subprotocols=None) as teacher,
        visiting(room.node.url, subprotocols=None) as ann,
    ):
        text = token(world.teacher, "teacher", world.school)
        await teacher.socket.send(json.dumps({"user_id": 1, "classroom_id": world.classroom, "token": text}))
        text = token(world.pupils[0], "student", world.school)
        await ann.socket.send(json.dumps({"user_id": 1, "classroom_id": world.classroom, "token": text}))
        await ann.expect("joined")
        await teacher.send("quiz_started", quiz_id=world.quiz, classroom_id=world.classroom)
        await ann.expect("quiz_started", quiz_id=world.quiz, classroom_id=world.classroom)
        await teacher.send("question_displayed", question_id=world.questions[0], question_text="...")
        shown = await ann.expect("question_displayed", question_id=world.questions[0])
        assert shown["question_text"] == "2 + 2 = ?"
        await ann.send(
            "answer_submitted",
            user_id=world.pupils[1],
            question_id=world.questions[0],
            answer="A",
            correct=True,
            metadata={"time_spent": 38.5},
        )
        await ann.expect("answer_ack", status="accepted")
        await teacher.send("quiz_ended", quiz_id=world.quiz)
        await ann.expect("quiz_ended", quiz_id=world.quiz)
        assert (await ann.expect("result"))["total"] == 0
