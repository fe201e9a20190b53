"""The course of a quiz, whatever anybody commands in whatever order."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Conflict, EduError, NotFound
from realtime.protocol import (
    DisplayQuestion,
    EndQuiz,
    ExtendQuestion,
    LockQuestion,
    LogFrame,
    Option,
    PauseQuestion,
    QuestionDisplayed,
    QuestionRevealed,
    QuizCommand,
    RestartQuestion,
    ResumeQuestion,
    RevealQuestion,
    SkipQuestion,
    StartQuiz,
    decode_log,
    encode,
)
from realtime.session import Question, Sitting, Tally, decide
from realtime.state import GRACE_MS, Phase, State, Verdict, evolve, fold, judge, picture

KEYS = {1: "key-of-one", 2: "key-of-two", 3: "key-of-three"}
SITTING = Sitting(
    session_id=7,
    school_id=1,
    classroom_id=2,
    quiz_id=3,
    quiz_version=1,
    title="Numbers",
    opened_at=datetime(2026, 9, 1, tzinfo=UTC),
    questions={
        number: Question(
            number, number, f"Question {number}", "single_choice", (Option("A", "x"), Option("B", "y")), key
        )
        for number, key in KEYS.items()
    },
)
numbers = st.sampled_from([1, 2, 3, 99])
maybe_numbers = st.none() | numbers
commands = st.one_of(
    st.builds(StartQuiz),
    st.builds(DisplayQuestion, question_id=numbers, seconds=st.none() | st.floats(0.1, 3)),
    st.builds(LockQuestion, question_id=maybe_numbers),
    st.builds(RevealQuestion, question_id=maybe_numbers),
    st.builds(EndQuiz),
    st.builds(PauseQuestion),
    st.builds(ResumeQuestion),
    st.builds(ExtendQuestion, seconds=st.floats(0.1, 3)),
    st.builds(SkipQuestion),
    st.builds(RestartQuestion, question_id=maybe_numbers, seconds=st.none() | st.floats(0.1, 3)),
)
answers = st.tuples(st.integers(1, 4), numbers)


@dataclass
class Run:
    """What a series of commands and answers led to."""

    state: State = field(default_factory=State)
    log: list[LogFrame] = field(default_factory=list)
    refused: int = 0
    kept: dict[tuple[int, int], Phase] = field(default_factory=dict)

    def command(self, command: QuizCommand, at: int) -> None:
        """Obey, or be refused."""
        try:
            events = decide(SITTING, self.state, command, at, Tally({"A": 1}, 1, 4))
        except EduError:
            self.refused += 1
            return
        self.log += events
        self.state = fold(events, self.state)

    def answer(self, pupil: int, question: int, at: int) -> None:
        """Keep it if it comes in time, and only the first."""
        if judge(self.state, question, at) is Verdict.OPEN:
            self.kept.setdefault((pupil, question), self.state.phase)


def play(steps: list[QuizCommand | tuple[int, int]]) -> Run:
    """Take the steps, a second apart."""
    run = Run()
    for second, step in enumerate(steps):
        if isinstance(step, tuple):
            run.answer(*step, at=second * 1000)
        else:
            run.command(step, second * 1000)
    return run


steps: st.SearchStrategy[list[QuizCommand | tuple[int, int]]] = st.lists(st.one_of(commands, answers), max_size=40)
runs = steps.map(play)


@given(runs)
def test_no_frame_holds_a_key_before_its_question_is_revealed(run: Run) -> None:
    revealed: set[int] = set()
    for event in run.log:
        if isinstance(event, QuestionRevealed):
            revealed.add(event.question_id)
        for number, key in KEYS.items():
            assert (key in encode(event)) == (isinstance(event, QuestionRevealed) and event.question_id == number)
    for number, key in KEYS.items():
        assert number in revealed or key not in encode(picture(run.log))


@given(runs)
def test_offsets_have_no_gap_and_the_state_is_a_function_of_the_log(run: Run) -> None:
    assert [event.off for event in run.log] == list(range(1, len(run.log) + 1))
    assert fold(decode_log(encode(event)) for event in run.log) == run.state


@given(runs)
def test_a_question_is_revealed_once_and_after_its_lock_and_never_asked_again_then(run: Run) -> None:
    for number in KEYS:
        course = [event for event in run.log if getattr(event, "question_id", None) == number]
        names = [type(event).__name__ for event in course]
        assert names[:1] in ([], ["QuestionDisplayed"])
        assert names.count("QuestionRevealed") <= 1 and "QuestionRevealed" not in names[:-1]
        if names[-1:] == ["QuestionRevealed"]:
            assert names[-2] == "QuestionLocked"
        shown = [event.run for event in course if isinstance(event, QuestionDisplayed)]
        assert shown == list(range(1, len(shown) + 1))


@given(runs)
def test_a_pause_costs_no_time(run: Run) -> None:
    state = State()
    for event in run.log:
        state = evolve(state, event)
        newest = state.round
        if newest is None or newest.limit_ms is None:
            continue
        if state.phase is Phase.QUESTION:
            assert newest.closes_at == newest.opens_at + newest.limit_ms + newest.paused_ms
        if state.phase is Phase.PAUSED and newest.paused_at is not None and newest.left_ms is not None:
            assert newest.paused_at + newest.left_ms == newest.opens_at + newest.limit_ms + newest.paused_ms


@given(runs)
def test_a_quiz_starts_once_and_nothing_follows_its_end(run: Run) -> None:
    names = [type(event).__name__ for event in run.log]
    assert names.count("QuizStarted") <= 1 and names.count("QuizEnded") <= 1
    assert "QuizEnded" not in names[:-1]


@given(runs)
def test_answers_are_kept_only_for_the_open_question_and_one_for_each_pupil(run: Run) -> None:
    assert set(run.kept.values()) <= {Phase.QUESTION}
    assert {question for _, question in run.kept} <= set(run.state.asked)


@given(runs)
def test_a_late_joiner_sees_the_phase_and_the_question_that_the_others_see(run: Run) -> None:
    seen = picture(run.log)
    assert seen.phase == run.state.phase
    assert (seen.question.question_id if seen.question else None) == run.state.question_id


@given(st.lists(commands, max_size=30), st.integers(0, 30))
def test_a_log_cut_anywhere_and_read_on_gives_the_same_state(steps: list[QuizCommand], cut: int) -> None:
    run = play([*steps])
    assert fold(run.log[cut:], fold(run.log[:cut])) == run.state


OPEN = fold(
    [
        *decide(SITTING, State(), StartQuiz(), 0),
        *decide(SITTING, State(phase=Phase.STARTED, off=1), DisplayQuestion(question_id=1, seconds=10), 1000),
    ]
)


@pytest.mark.parametrize(
    ("question", "received", "verdict"),
    [
        (1, 1000, Verdict.OPEN),
        (1, 500, Verdict.OPEN),  # another node's clock may be behind
        (1, 11_000 + GRACE_MS, Verdict.OPEN),
        (1, 11_001 + GRACE_MS, Verdict.LATE),
        (2, 1000, Verdict.NOT_OPEN),
    ],
)
def test_time_and_question_decide_whether_an_answer_counts(question: int, received: int, verdict: Verdict) -> None:
    assert judge(OPEN, question, received) is verdict


def test_the_next_question_locks_the_open_one() -> None:
    names = [type(event).__name__ for event in decide(SITTING, OPEN, DisplayQuestion(question_id=2), 2000)]
    assert names == ["QuestionLocked", "QuestionDisplayed"]


@pytest.mark.parametrize(
    ("command", "error", "code"),
    [
        (StartQuiz(), Conflict, "already_started"),
        (DisplayQuestion(question_id=1), Conflict, "already_asked"),
        (DisplayQuestion(question_id=99), NotFound, "no_such_question"),
        (RevealQuestion(), Conflict, "not_locked"),
        (LockQuestion(question_id=2), Conflict, "no_open_question"),
    ],
)
def test_a_command_at_the_wrong_time_is_refused_with_its_reason(
    command: QuizCommand, error: type[EduError], code: str
) -> None:
    with pytest.raises(error) as refusal:
        decide(SITTING, OPEN, command, 2000)
    assert refusal.value.code == code


def test_a_gap_in_the_log_is_noticed() -> None:
    (ended,) = decide(SITTING, State(off=4, phase=Phase.STARTED), EndQuiz(), 0)
    with pytest.raises(ValueError, match="does not follow"):
        evolve(State(), ended)
