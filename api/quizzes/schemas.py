"""The bodies and answers of quizzes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, StringConstraints

from api.fields import Body, Id, Name, Title

QuestionType = Literal["single_choice", "multiple_select", "true_false", "numeric", "free_text", "scored_item"]
Text = Annotated[str, StringConstraints(min_length=1, max_length=4000)]
OptionKey = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40, pattern=r"^[^,]+$")]
Number = Annotated[float, Field(allow_inf_nan=False)]

_EXAMPLE: dict[str, Any] = {
    "title": "Fractions",
    "subject": "maths",
    "classroom_id": 10,
    "questions": [
        {"title": "1/2 + 1/4 = ?", "options": ["1/6", "3/4", "2/6"], "answer_key": "B", "skills": ["fractions"]},
        {"title": "Is 1/3 less than 0.3?", "qtype": "true_false", "answer_key": False},
        {"title": "Write 0.25 as a fraction.", "qtype": "free_text", "answer_key": "1/4", "max_score": 2},
    ],
}


class Option(Body):
    """One option of a question."""

    key: OptionKey
    text: Annotated[str, StringConstraints(max_length=4000)] = ""


class NewQuestion(Body):
    """A question; options without keys get A, B, C …; with `id` alone, a question of this quiz stays as it is."""

    id: Id | None = None
    title: Text | None = Field(None, validation_alias=AliasChoices("title", "text", "question_text"))
    qtype: QuestionType | None = Field(None, description="Left out: told by the options and the key.")
    options: list[Option | Annotated[str, StringConstraints(max_length=4000)]] = Field(default=[], max_length=200)
    answer_key: bool | Number | Text | list[OptionKey] | None = Field(
        None,
        validation_alias=AliasChoices("answer_key", "correct_answer"),
        description="An option's key or text (several of them: a list, with partial credit), true or false, a number "
        "(also «3.14±0.01» or «3..4»), or the text that is right.",
    )
    max_score: Annotated[float, Field(gt=0, le=1_000_000)] = 1
    skills: list[Name] = Field(default=[], max_length=50)


class NewQuiz(Body):
    """A quiz with its questions in order."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})
    title: Title
    subject: Name | None = None
    classroom_id: Id | None = None
    school_id: Id | None = Field(None, description="Only for operators; without it the quiz is shared by all schools.")
    questions: list[NewQuestion] = Field(min_length=1, max_length=500)


class QuizVersion(Body):
    """The next version of a quiz: the whole of it."""

    title: Title
    subject: Name | None = None
    questions: list[NewQuestion] = Field(min_length=1, max_length=500)


class Question(BaseModel):
    """A question as it is asked; the key is left out for students."""

    id: int
    position: int
    title: str
    qtype: str
    options: list[dict[str, Any]]
    answer_key: str | None = None
    max_score: float
    skills: list[str]


class QuizHead(BaseModel):
    """A quiz in a list."""

    id: int
    school_id: int | None
    classroom_id: int | None
    title: str
    subject: str | None
    created_by: int | None
    quiz_version: int
    created_at: datetime
    question_count: int


class Quiz(QuizHead):
    """A quiz with the questions of one of its versions."""

    questions: list[Question]
