"""Writes docs/reference/ from the code; a test compares, so that the pages cannot rot."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import yaml

from core import errors
from core.settings import Settings
from docs import asyncapi
from engine.model.document import DEEPEST, LARGEST, MOST
from engine.model.templates import MEGABYTES, SECONDS
from ingestion.failpoints import ARROWS

_FOLDER = Path(__file__).resolve().parent / "reference"
_YAML_NOTE = "# Made by `make docs` from the code; do not edit.\n"
_NOTE = "<!-- Made by `make docs` from the code; do not edit. -->\n\n"

_ROOT = Path(__file__).resolve().parent.parent
_CASES = _ROOT / "tests" / "ingestion" / "crash" / "arrows.yml"
_CUTS = """
# Where the path is cut

Between two steps of [the path](../adr/0002-snapshot-windows-and-manifest.md) lies an arrow. The tests cut each one in
each of these ways, let the path come to its end, and compare the ids that were acknowledged, that Postgres holds and
that ClickHouse holds: none missing, none twice, none invented, every row of a dimension its newest
([ADR 0020](../adr/0020-named-arrows.md)).

**kill** `kill -9` of the process with ClickHouse in it. **exception** something that nobody expects. **away**
ClickHouse says that it is away. **timeout** somebody holds a lock for longer than one waits. **cut** the connection
to Postgres ends, the next statement does not arrive. **unanswered** it arrives and is done, its answer is lost.

| arrow | how things stand there | cut by |
|---|---|---|
""".lstrip()

_EFFECTS = (
    "The format is Cube's. **rows**: it changes answers. **shown**: it is told by /meta. **idle**: accepted because",
    "Cube's files have it, without effect here. **refused**: a mistake, with the reason.",
    "",
    f"A file has at most {LARGEST:,} characters, {MOST:,} values and {DEEPEST} levels; YAML is read as version 1.2.",
    f"Jinja is rendered in a process of its own, with {SECONDS} seconds and {MEGABYTES} MB for a folder; templates may",
    "import each other, `env_var` gives no name that looks like a secret, Python of the folder is never run and",
    "`COMPILE_CONTEXT` is empty.",
    "",
)


_REFUSALS = """
A refused question (`/cubejs-api/v1`) is told in Cube's words and beside them in ours:
`{"error": text, "type": "UserError"?, "code", "path"?, "line"?, "column"?, "member"?, "nearest"?, "hint"?, "ossie"?}`.

| key | what it tells |
|---|---|
| `error`, `type` | Cube's own text and type; what reads them goes on working |
| `code` | one of the codes above; texts may change, codes do not |
| `path` | the place in the JSON of the question: `filters[0].member`, `[1].measures[0]` in a list of questions |
| `line`, `column` | the place in the SQL of the question, counted from 1 |
| `member`, `nearest` | the name that is wrong, and right names like it that the caller may see |
| `hint` | what to do |
| `ossie` | the code of the same fault in Apache Ossie's foundational semantics: `E_EMPTY_AGGREGATION_QUERY`, `E_NAME_NOT_FOUND`, `E_NO_PATH`, `E_AMBIGUOUS_PATH`, `E_AGGREGATE_IN_FIELD`, `E_AGGREGATE_IN_WHERE`, `E_AGGREGATE_IN_SCALAR_QUERY`, `E_FAN_OUT_IN_SCALAR_QUERY`, `E_WINDOW_IN_WHERE` |

Without a valid token Cube's answer is given as it is: 403 and `{"error": text}`. A question that still runs is no error:
200 and `{"error": "Continue wait", "stage", "timeElapsed"}`; ask the same again.
""".strip().splitlines()  # noqa: E501 - a row of a table is one line


def pages() -> dict[str, str]:
    """File name → text of every reference page."""
    return {
        "settings.md": _NOTE + _settings(),
        "errors.md": _NOTE + _errors(),
        "http.md": _NOTE + _http(),
        "cli.md": _NOTE + _cli(),
        "models.md": _NOTE + _models(),
        "model-keys.md": _NOTE + _model_keys(),
        "arrows.md": _NOTE + _arrows(),
        "asyncapi.yaml": _YAML_NOTE + asyncapi.document(),
    }


def _settings() -> str:
    lines = ["# Settings", "", "| variable | default | what it does |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        variable = field.validation_alias or f"EDU_{name.upper()}"
        default = "" if field.default is None or field.is_required() else f"`{field.default}`"
        if field.default_factory is not None:
            default = "(see text)"
        if isinstance(field.default, Path):
            default = "`semantic_models/`"
        lines.append(f"| `{variable}` | {default} | {field.description} |")
    lines += [
        "",
        "Each can also be a file in `/run/secrets` with the variable's name in small letters, or a line in `.env`.",
    ]
    return "\n".join(lines) + "\n"


def _arrows() -> str:
    cases = yaml.safe_load(_CASES.read_text())
    return _CUTS + "".join(f"| `{name}` | {told} | {_cut_by(cases[name])} |\n" for name, told in ARROWS.items())


def _cut_by(found: dict[str, list[str]] | str) -> str:
    if isinstance(found, str):
        return f"[{Path(found).name}](../../{found})"
    return "; ".join(f"{scenario}: {', '.join(ways)}" for scenario, ways in found.items())


def _tree(kind: type[errors.EduError]) -> Iterator[type[errors.EduError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)


def _errors() -> str:
    lines = ["# Errors", "", "| code | status | meaning |", "|---|---|---|"]
    known = {kind.code: kind for kind in reversed(list(_tree(errors.EduError))) if kind.__module__ == "core.errors"}
    for code, kind in sorted(known.items()):
        meaning = (inspect.getdoc(kind) or "").splitlines()[0]
        lines.append(f"| `{code}` | {kind.status} | {meaning} |")
    lines += ["", *_REFUSALS]
    return "\n".join(lines) + "\n"


def _http() -> str:
    from api.app import create_app

    paths = create_app(Settings()).openapi()["paths"]
    lines = ["# HTTP endpoints", "", "| method | path | what it does |", "|---|---|---|"]
    for path, methods in sorted(paths.items()):
        for method, operation in methods.items():
            lines.append(f"| {method.upper()} | `{path}` | {operation.get('summary', '')} |")
    return "\n".join(lines) + "\n"


def _cli() -> str:
    import typer.main

    from api.cli import app

    group = typer.main.get_command(app)
    lines = ["# Command line", "", "| command | what it does |", "|---|---|"]
    for name, command in sorted(getattr(group, "commands", {}).items()):
        lines.append(f"| `eduanalytics {name}` | {command.get_short_help_str(200)} |")
    return "\n".join(lines) + "\n"


def _models() -> str:
    from engine.model.loader import load_catalog

    catalog = load_catalog(Path(__file__).resolve().parent.parent / "semantic_models")
    lines = ["# Cubes and their members", ""]
    for cube in sorted(catalog.cubes.values(), key=lambda cube: cube.name):
        lines += [
            f"## {cube.name}",
            "",
            f"{cube.shown.description or ''}",
            "",
            "| member | kind | meaning |",
            "|---|---|---|",
        ]
        for kind, members in (("measure", cube.measures), ("dimension", cube.dimensions), ("segment", cube.segments)):
            for member in members.values():
                if member.shown.public:
                    meaning = " ".join((member.shown.description or "").split())
                    lines.append(f"| `{cube.name}.{member.name}` | {kind} | {meaning} |")
        lines.append("")
    return "\n".join(lines)


def _model_keys() -> str:
    kinds = yaml.safe_load((_FOLDER.parent / "model_keys.yml").read_text())
    lines = ["# Keys of model files", "", *_EFFECTS]
    for kind, keys in kinds.items():
        lines += [f"## {kind.replace('_', ' ')}", "", "| key | effect | meaning |", "|---|---|---|"]
        lines += [f"| `{key}` | {effect} | {meaning} |" for key, (effect, meaning) in keys.items()]
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Write the pages."""
    _FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (_FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
