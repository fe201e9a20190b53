"""Files made to keep the reader busy, or to reach beyond the model folder: each is refused at once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from core.errors import ModelErrors
from engine.model import load_catalog, load_texts
from engine.model.arguments import read_argument
from engine.model.forms import is_format
from engine.model.intervals import parse_interval
from engine.model.references import parse_select, parse_sql
from engine.model.terms import Source

_LAUGHS = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)
_MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{','.join([f'*a{n - 1}'] * 20)}], k{n}: *a{n - 1}}}\n" for n in range(1, 12)
)
_BOMBS = {
    "billion laughs": (_LAUGHS, "at most 300000 values"),
    "merge keys": (_MERGES, "at most 300000 values"),
    "an anchor in itself": ("a: &a {b: *a}", "contains itself"),
    "brackets": ("a: " + "[" * 200_000, "nested more than 40"),
    "braces": ("a: " + "{a: " * 200_000, "nested more than 40"),
    "dashes": ("- " * 200_000, "nested more than 40"),
    "a gigantic file": ("a: " + "x" * 5_100_000, "at most 5000000 characters"),
    "many values": ("a: [" + "1," * 400_000 + "]", "at most 300000 values"),
    "NUL": ("cubes: \x00", "control characters"),
    "half a character": ("cubes: '\ud800'", "not UTF-8"),
    "endless loops": (
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "MB or 2 seconds",
    ),
    "doubling": (
        "{% set n = namespace(x='aa') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
        "too much memory",
    ),
    "a long text": ("{% for i in range(90000) %}{{ 'x' * 900 }}{% endfor %}", "more than 5000000"),
}


@pytest.mark.parametrize("name", _BOMBS)
def test_a_bomb_is_refused_quickly(name: str) -> None:
    text, part = _BOMBS[name]
    started = time.monotonic()
    with pytest.raises(ModelErrors, match=part):
        load_texts({"bomb.yml": text})
    assert time.monotonic() - started < 15  # two seconds of work at most, on a busy machine


@pytest.mark.parametrize(
    "text",
    [
        "{" * 20_000,
        "{CUBE}." * 5_000,
        "{" + "a." * 20_000 + "}",
        "{FILTER_GROUP(" * 3_000,
        "{FILTER_PARAMS.a.b.filter(lambda " + "x, " * 3_000 + ": 'y')}",
        "{FILTER_PARAMS.a.b.filter(lambda x: " + "(" * 5_000 + ")}",
        "{FILTER_PARAMS.a.b.filter(lambda x: " + "'a' + " * 3_000 + "'a')}",
        "{SECURITY_CONTEXT" + ".a" * 9_000 + "(}",
        "(" * 20_000,
        "((" * 200 + "x" + "))" * 200,
        "NOT " * 20_000 + "x",
        "x + " * 20_000 + "x",
        "CASE WHEN " * 5_000,
        "f(" * 3_000 + ")" * 3_000,
        " " * 50_000 + "x",
    ],
    ids=lambda text: text[:40],
)
def test_sql_of_the_model_is_read_in_linear_time_or_refused(text: str) -> None:
    started = time.process_time()
    model = f"cubes: [{{name: a, sql_table: t, dimensions: [{{name: x, type: string, sql: {text!r}}}]}}]"
    try:
        load_texts({"m.yml": model}, strict=True)
    except ModelErrors as error:
        assert error.errors[0].details.get("key") == "sql" or "Jinja" in str(error)
    assert time.process_time() - started < 5


def test_the_small_readers_are_linear() -> None:
    started = time.process_time()
    for text in (" " * 100_000, "1 day " * 50_000, "9" * 100_000, "-" * 100_000):
        assert parse_interval(text) is None
        assert not is_format(text, "string")
        is_format(text, "number")
        is_format("%" * 100_000, "time")
    for text in (
        "lambda " * 2_000 + ": 'y'",
        "lambda x: " + "x + " * 4_000 + "x",
        "x" * 30_000,
        "lambda x: " + "[" * 9_000,
    ):
        with pytest.raises(ValueError, match=r"longer|read|parameters"):
            read_argument(text)
    assert read_argument("'" * 20_000).count == 0
    assert time.process_time() - started < 3


_CHAINS = {
    "members that refer on and on": (
        "cubes: [{name: a, sql_table: t, dimensions: [{name: x0, sql: x, type: number}, "
        + ", ".join(f"{{name: x{n}, sql: '{{x{n - 1}}} + 1', type: number}}" for n in range(1, 500))
        + "]}]",
        "30 deep|80 deep",
    ),
    "members that double": (
        "cubes: [{name: a, sql_table: t, dimensions: [{name: x0, sql: x, type: number}, "
        + ", ".join(f"{{name: x{n}, sql: '{{x{n - 1}}} + {{x{n - 1}}} * 2', type: number}}" for n in range(1, 29))
        + "]}]",
        "more than 30000 parts",
    ),
    "measures that double": (
        "cubes: [{name: a, sql_table: t, measures: [{name: x0, sql: x, type: sum}, "
        + ", ".join(f"{{name: x{n}, sql: '{{x{n - 1}}} + {{x{n - 1}}}', type: number}}" for n in range(1, 29))
        + "]}]",
        "more than 30000 parts",
    ),
    "tables that double": (
        "cubes: [{name: c0, sql_table: t}, "
        + ", ".join(
            f"{{name: c{n}, sql: 'SELECT * FROM {{c{n - 1}.sql()}} AS a, {{c{n - 1}.sql()}} AS b'}}"
            for n in range(1, 29)
        )
        + "]",
        "unfold to more than 100",
    ),
    "parents of parents": (
        "cubes: [{name: c0, sql_table: t}, "
        + ", ".join(f"{{name: c{n}, extends: c{n - 1}}}" for n in range(1, 2000))
        + "]",
        "30 deep|80 deep",
    ),
}


@pytest.mark.parametrize("name", _CHAINS)
def test_what_unfolds_without_measure_is_refused(name: str) -> None:
    text, part = _CHAINS[name]
    started = time.process_time()
    with pytest.raises(ModelErrors, match=part):
        load_texts({"m.yml": text}, strict=True)
    assert time.process_time() - started < 10


def test_bytes_and_links_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_bytes(b"cubes:\n  - name: a\n    title: caf\xe9\n")
    (tmp_path / "b.yml").write_text("cubes: []\n# fine\n")
    (tmp_path / "c.yml").mkdir()
    (tmp_path / "d.yml").write_bytes(b"\xff\xfec\x00u\x00")
    (tmp_path / "e.yml").write_bytes(b"\xef\xbb\xbfcubes: []\n")
    with pytest.raises(ModelErrors) as caught:
        load_catalog(tmp_path)
    told = [str(error) for error in caught.value.errors]
    assert told == ["a.yml:3: not UTF-8: byte 0xe9 at 33.", "d.yml:1: not UTF-8: byte 0xff at 0."]


def test_templates_see_no_secret_and_no_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://me:pw@host/db")
    monkeypatch.setenv("SHOP_TABLE", "live")
    (tmp_path / "globals.py").write_text("raise SystemExit('run')")
    (tmp_path / "m.jinja").write_text("{% macro table() %}{{ env_var('SHOP_TABLE') }}{% endmacro %}")
    (tmp_path / "x.yml").write_text("{% import 'm.jinja' as m %}\ncubes: [{name: a, sql_table: {{ m.table() }}}]")
    assert load_catalog(tmp_path).cubes["a"].table == "live"
    (tmp_path / "x.yml").write_text("cubes: [{name: a, sql_table: {{ env_var('DATABASE_URL') }}}]")
    with pytest.raises(ModelErrors, match="looks like a secret"):
        load_catalog(tmp_path)
    (tmp_path / "x.yml").write_text("cubes: [{name: a, sql_table: {{ env_var('NOT_THERE', 'spare') }}}]")
    assert load_catalog(tmp_path).cubes["a"].table == "spare"


def test_a_select_of_a_cube_may_be_a_union_or_have_a_with() -> None:
    here = Source("m.yml", 1)
    for text in ("SELECT 1 UNION ALL SELECT 2", "WITH x AS (SELECT 1 AS a) SELECT * FROM x", "(SELECT 1)", "SELECT 1;"):
        assert parse_select(text, here).tree is not None
    for text in ("(a, b)", "sum(x)", "quantile(0.5)(x)", "x IN (SELECT 1)", "count(*) FILTER (WHERE a)", "1"):
        assert parse_sql(text, here).tree is not None
