"""Who is in the room."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from realtime.news import People, news
from realtime.presence import Presence
from realtime.protocol import Present, StudentAllowed, StudentJoined, StudentKicked, StudentLeft

ANN, BEN = Present(1, "Ann"), Present(2, "Ben")


def test_several_sockets_of_a_person_are_one_person_until_the_last_is_gone_and_a_moment_longer() -> None:
    presence = Presence(departure_s=3, node_s=60)
    presence.enter(ANN)
    presence.enter(ANN)
    presence.leave(ANN, at=10)
    assert presence.here(at=100) == (ANN,)
    presence.leave(ANN, at=100)
    assert presence.here(at=102.9) == (ANN,)
    assert presence.here(at=103) == ()


def test_other_nodes_count_until_they_have_been_silent_too_long() -> None:
    presence = Presence(departure_s=3, node_s=60)
    presence.enter(ANN)
    presence.hear("b", [ANN, BEN], at=0)
    assert presence.everybody(at=59) == (ANN, BEN)
    assert presence.everybody(at=60) == (ANN,)
    presence.hear("b", [], at=61)
    assert presence.everybody(at=62) == (ANN,)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([ANN, BEN])), max_size=40))
def test_whoever_has_an_open_socket_is_here_and_long_after_nobody_else(steps: list[tuple[bool, Present]]) -> None:
    presence = Presence(departure_s=3, node_s=60)
    open_sockets: list[Present] = []
    for at, (enters, person) in enumerate(steps):
        if enters:
            presence.enter(person)
            open_sockets.append(person)
        elif person in open_sockets:
            presence.leave(person, at)
            open_sockets.remove(person)
    assert set(presence.here(at=len(steps) + 3)) == set(open_sockets)


_pupils = st.lists(st.builds(Present, st.integers(1, 9), st.just("P")), unique=True).map(tuple)
_rooms = st.builds(People, _pupils, st.lists(st.integers(1, 9), unique=True).map(tuple))


@given(st.lists(_rooms, min_size=1, max_size=8))
def test_whoever_follows_the_news_knows_who_is_here_and_who_was_sent_out(rooms: list[People]) -> None:
    here, kicked = set(rooms[0].here), set(rooms[0].kicked)
    assert list(news(None, rooms[0])) == []
    for before, now in pairwise(rooms):
        for frame in news(before, now):
            match frame:
                case StudentJoined():
                    assert here.isdisjoint(frame.students)
                    here.update(frame.students)
                case StudentLeft():
                    assert here.issuperset(frame.students)
                    here.difference_update(frame.students)
                case StudentKicked():
                    assert kicked.isdisjoint(frame.user_ids)
                    kicked.update(frame.user_ids)
                case StudentAllowed():
                    assert kicked.issuperset(frame.user_ids)
                    kicked.difference_update(frame.user_ids)
        assert (here, kicked) == (set(now.here), set(now.kicked))
