"""Which answers get another mark, in numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingestion.amendments.grades import Asked, Group, Tally, changes, mark, pieces, tally
from ingestion.grading import grade

_OPTIONS = [{"key": key, "text": key.lower()} for key in "ABCD"]
_KEYS = st.sampled_from(["A", "B", "C", "D"])


def test_another_right_option() -> None:
    groups = [Group("B", True, 1.0, False, 20), Group("C", False, 0.0, False, 7), Group(None, False, 0.0, False, 3)]
    assert tally(Asked("single_choice", _OPTIONS, "C"), groups) == Tally(answers=30, changed=27, up=7, down=20)


def test_a_question_that_does_not_count_any_more_and_one_that_does_again() -> None:
    groups = [Group("B", True, 1.0, False, 2), Group(None, False, 0.0, False, 1)]
    assert tally(Asked("single_choice", _OPTIONS, None), groups) == Tally(answers=3, changed=3, uncounted=3)
    void = [Group("B", None, None, False, 2), Group(None, None, None, False, 1)]
    assert tally(Asked("single_choice", _OPTIONS, "B"), void) == Tally(answers=3, changed=3, counted=3)


def test_what_an_import_did_not_record_and_what_is_no_option_keep_their_mark() -> None:
    groups = [Group(None, True, 1.0, True, 4), Group("Z", True, 1.0, False, 2)]
    assert tally(Asked("single_choice", _OPTIONS, "C"), groups) == Tally(answers=6, ungradable=6)


@given(st.lists(st.tuples(st.sets(_KEYS), _KEYS), max_size=20), st.sets(_KEYS, min_size=1), st.sets(_KEYS, min_size=1))
def test_a_stored_choice_is_graded_as_the_answer_was(
    answers: list[tuple[set[str], str]], old: set[str], new: set[str]
) -> None:
    """Grading the normal form is grading the answer; a regrade to the same key changes nothing."""
    for several, one in answers:
        for qtype, given_answer, keys in (("multiple_select", sorted(several), old), ("single_choice", one, {one})):
            before, after = ",".join(sorted(keys)), ",".join(sorted(new)) if qtype == "multiple_select" else min(new)
            stored = grade(qtype, _OPTIONS, before, given_answer)
            fresh = grade(qtype, _OPTIONS, after, given_answer)
            assert mark(Asked(qtype, _OPTIONS, after), stored.choice, imported=False) == (fresh.correct, fresh.score)
            group = Group(stored.choice, stored.correct, stored.score, False, 1)
            assert changes(Asked(qtype, _OPTIONS, before), [group]) == []


def test_many_choices_go_in_pieces_of_bounded_size() -> None:
    marks: dict[str, tuple[bool | None, float | None]] = {
        f"{number:05}" * 20: (number % 2 == 0, 1.0) for number in range(3000)
    }
    parts = pieces(marks)
    assert len(parts) == 4
    told = [choice for piece in parts for _, choices in piece for choice in choices]
    assert sorted(told) == sorted(marks)
    assert pieces({}) == []
