"""Points are a function of log and answers, and fair."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from realtime.protocol import Rules
from realtime.scoring import MOST, Scored, counted, places, points, ranks, totals
from realtime.state import Phase, Round, State
from realtime.teams import deal, standings

scores = st.none() | st.floats(0, 1)
times = st.integers(0, 10**7)
limits = st.none() | st.integers(1, 10**7)
phases = st.sampled_from([Phase.QUESTION, Phase.PAUSED, Phase.LOCKED, Phase.REVEALED, Phase.SKIPPED])
answers = st.builds(
    Scored,
    student_id=st.integers(1, 5),
    question_id=st.integers(1, 3),
    run=st.integers(1, 2),
    score=scores,
    time_ms=times,
)
rounds = st.dictionaries(
    st.integers(1, 3), st.builds(Round, run=st.integers(1, 2), opens_at=st.just(0), limit_ms=limits, phase=phases)
)


@given(scores, times, times, limits)
def test_points_are_bounded_and_never_grow_with_time(
    score: float | None, time: int, later: int, limit: int | None
) -> None:
    found = points(score, time, limit)
    assert 0 <= found <= MOST
    assert points(score, time + later, limit) <= found
    assert found >= round(MOST * (score or 0)) // 2
    assert points(1.0, 0, limit) == MOST


@given(rounds, st.lists(answers, max_size=30), st.booleans())
def test_totals_are_a_function_of_log_and_answers_in_whatever_order(
    asked: dict[int, Round], given_: list[Scored], speed: bool
) -> None:
    state, rules = State(rounds=asked), Rules(speed=speed)
    found = totals(state, given_, rules)
    assert found == totals(state, reversed(given_), rules)
    assert sum(found.values()) == sum(counted(state, answer, rules) for answer in given_)
    for answer in given_:
        current = asked.get(answer.question_id)
        if current is None or current.run != answer.run or current.phase in (Phase.SKIPPED, Phase.QUESTION):
            assert counted(state, answer, rules) == 0


@given(st.dictionaries(st.integers(1, 50), st.integers(0, 5), max_size=40))
def test_ranks_agree_with_points(sums: dict[int, int]) -> None:
    found = ranks(sums)
    for student, total in sums.items():
        assert found[student] == 1 + sum(other > total for other in sums.values())
    shown = places(sums, {})
    assert [place.points for place in shown] == sorted(sums.values(), reverse=True)[:10]


_points = st.dictionaries(st.integers(1, 40), st.integers(0, 5000))
_names = ("Red", "Blue", "Green")


@given(st.lists(st.integers(1, 60), unique=True), st.dictionaries(st.integers(1, 60), st.integers(0, 2), max_size=8))
def test_everybody_is_dealt_to_a_team_evenly_and_the_chosen_to_theirs(
    pupils: list[int], chosen: dict[int, int]
) -> None:
    dealt = deal(pupils, chosen, 3)
    assert dealt.keys() == {*pupils, *chosen} and chosen.items() <= dealt.items()
    sizes = [list(dealt.values()).count(team) for team in range(3)]
    assert all(sizes[dealt[pupil]] <= min(sizes) + 1 for pupil in dealt.keys() - chosen.keys())


@given(_points, st.dictionaries(st.integers(1, 40), st.integers(0, 2)), st.integers(2, 4))
def test_a_team_stands_by_the_mean_of_those_who_played_however_many_they_are(
    sums: dict[int, int], team_of: dict[int, int], times: int
) -> None:
    found = standings(sums, team_of, _names)
    assert sorted(place.name for place in found) == sorted(_names)
    for place in found:
        own = [total for who, total in sums.items() if team_of.get(who) == _names.index(place.name)]
        assert place.players == len(own)
        assert abs(place.points * len(own) - sum(own)) <= len(own) / 2
        assert place.rank == 1 + sum(other.points > place.points for other in found)
    assert [place.rank for place in found] == sorted(place.rank for place in found)
    copies = [100 * number for number in range(times)]  # as if each had so many twins in his team
    twins = standings(
        {who + more: total for who, total in sums.items() for more in copies},
        {who + more: team for who, team in team_of.items() for more in copies},
        _names,
    )
    assert [(place.rank, place.name, place.points) for place in twins] == [
        (place.rank, place.name, place.points) for place in found
    ]
