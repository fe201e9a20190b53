"""Saved queries: the form of `semantic_models/reports/*.yml`, one report a file.

    name: student_performance            # the address: /api/v1/reports/student_performance
    path: student-performance            # a second, shorter address: /api/v1/student-performance
    title: Student performance
    description: How one student does, in a sentence.
    roles: [student, teacher, admin]     # who may run it (operators always); left out: everybody
    parameters:
      - {name: student_id, type: integer, required: true, description: The student's number.}
      - {name: from, type: date, description: The first day.}      # integer | number | string | date | boolean
    subject:                             # what the report is about; no row (absent, or not the caller's to see): 404
      query: {dimensions: [students.id, students.name], filters: [...]}
    sections:
      - name: summary
        title: Summary
        one_row: true                    # answered as one object
        query: {measures: [...], filters: [{member: students.id, operator: equals, values: ["{student_id}"]}]}
      - name: by_quiz
        title: By quiz
        paginated: true                  # gets the caller's page and page_size, and the total
        query: {..., timeDimensions: [{dimension: responses.submitted_at, dateRange: ["{from}", "{to}"]}]}

A query is Cube's JSON; `"{name}"` as a whole string stands for a parameter. Where an optional parameter is not given,
the filter with it is left out, and so is a dateRange of which both ends are missing (one missing end is open).
A `timezone` in the query wins over the caller's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from core.errors import ModelError

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
ReportName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=100)]
RESERVED = frozenset({"page", "page_size", "format", "section", "time_zone"})


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Parameter(_Strict):
    """What the caller fills in."""

    name: ReportName
    type: Literal["integer", "number", "string", "date", "boolean"] = "string"
    required: bool = False
    default: str | int | float | bool | None = None
    description: str = ""


class Section(_Strict):
    """One table of a report."""

    name: ReportName
    title: str
    description: str = ""
    one_row: bool = False
    paginated: bool = False
    query: dict[str, Any]


class Subject(_Strict):
    """What a report is about: a query whose first row names it."""

    query: dict[str, Any]


class Report(_Strict):
    """A saved query."""

    name: ReportName
    title: str
    description: str
    roles: tuple[Literal["student", "teacher", "admin", "analyst", "operator"], ...] = ()
    path: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$", max_length=100)] | None = None
    parameters: tuple[Parameter, ...] = ()
    subject: Subject | None = None
    sections: tuple[Section, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Report:
        names = [parameter.name for parameter in self.parameters]
        if taken := RESERVED & set(names):
            raise ValueError(f"the parameter names {sorted(taken)} are taken")
        for kind, found in (("parameter", names), ("section", [section.name for section in self.sections])):
            if len(set(found)) != len(found):
                raise ValueError(f"two {kind}s have the same name")
        queries = {section.name: section.query for section in self.sections}
        for name, query in (queries | ({"subject": self.subject.query} if self.subject else {})).items():
            if unknown := placeholders(query) - set(names):
                raise ValueError(f"{name} uses {sorted(unknown)}, which are no parameters")
        return self

    def open_to(self, role: str) -> bool:
        """Whether this role may run it."""
        return not self.roles or role == "operator" or role in self.roles


def placeholder(text: str) -> str | None:
    """The parameter that a whole string stands for."""
    found = _PLACEHOLDER.fullmatch(text)
    return found.group(1) if found else None


def placeholders(query: Any) -> set[str]:
    """The parameters that a query uses."""
    return {name for text in _texts(query) if (name := placeholder(text))}


def load_reports(folder: Path) -> dict[str, Report]:
    """Every report of a model folder by name; raises `ModelError` with the file. No folder, no reports."""
    reports: dict[str, Report] = {}
    for path in sorted([*folder.glob("*.yml"), *folder.glob("*.yaml")]):
        report = _read(path)
        if report.name in reports:
            raise ModelError(f"{path.name}: there are two reports named {report.name}.", file=str(path))
        reports[report.name] = report
    return reports


def _read(path: Path) -> Report:
    try:
        return Report.model_validate(yaml.safe_load(path.read_text()))
    except yaml.YAMLError as error:
        raise ModelError(f"{path.name} is not YAML: {error}", file=str(path)) from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ModelError(f"{path.name}: {key}: {first['msg']}", file=str(path), key=key) from None


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _texts(child)
