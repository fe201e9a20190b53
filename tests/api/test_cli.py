"""The command line, as a person uses it: its own processes over its own data folder."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.api import forked

_MAIN = "from api.cli import main; main()"
_ROOT = Path(__file__).resolve().parents[2]


class Shell:
    """Runs commands over one data folder."""

    def __init__(self, folder: Path, **variables: str) -> None:
        keep = {
            name: value for name, value in os.environ.items() if not name.startswith(("EDU_", "DATABASE_", "CLICK"))
        }
        self.environment = keep | {"EDU_DATA_DIR": str(folder), "COLUMNS": "200"} | variables

    def run(self, *words: str, code: int = 0, text: str | None = None) -> str:
        """The output of a command that must end with `code`."""
        return _output(forked.run(words, self.environment, _ROOT, text), code)

    def start(self, *words: str, code: int = 0) -> str:
        """The same, as it is started by a person: slowly."""
        command = [sys.executable, "-c", _MAIN, *words]
        done = subprocess.run(command, env=self.environment, cwd=_ROOT, capture_output=True, text=True, timeout=120)
        return _output(done, code)

    @contextmanager
    def server(self, *words: str) -> Iterator[str]:
        """A server on a free port; its URL. It must end by itself when asked to."""
        command = [sys.executable, "-c", _MAIN, "serve", "--port", "0", *words]
        process = subprocess.Popen(command, env=self.environment, cwd=_ROOT, stderr=subprocess.PIPE, text=True)
        try:
            assert process.stderr is not None
            yield _url(process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGTERM)  # `make` says it once more
            assert process.wait(30) == 0
            assert process.stderr is not None and "Traceback" not in process.stderr.read()


def _output(done: subprocess.CompletedProcess[str], code: int) -> str:
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stdout + done.stderr


def _url(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    seen = []
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        line = process.stderr.readline()
        seen.append(line)
        if '"serving"' in line:
            return str(json.loads(line)["url"])
        if not line and process.poll() is not None:
            break
    raise AssertionError("".join(seen))


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("api.cli", ("fastapi", "uvicorn", "pydantic", "sqlglot", "numpy", "clickhouse_connect", "psycopg", "httpx2")),
        ("engine", ("jinja2", "rapidfuzz", "clickhouse_connect", "numpy", "pydantic", "sqlglot.optimizer.qualify")),
    ],
)
def test_a_start_imports_only_what_it_needs(module: str, absent: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print(*(name for name in {absent} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=_ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A small made-up district."""
    made = Shell(tmp_path_factory.mktemp("edu") / "data")
    page = made.start("demo", "--exit", "--port", "0", "--classrooms", "2", "--students", "5", "--days", "14")
    assert "/docs" in page
    assert "teacher@example.org" in page
    assert "mathematics" in page
    return made


def test_a_query_by_flags_and_by_json_give_the_same_rows(shell: Shell) -> None:
    flags = shell.run("query", "--measures", "responses.count", "--dimensions", "quizzes.subject", "-f", "csv")
    query = {"measures": ["responses.count"], "dimensions": ["quizzes.subject"]}
    piped = shell.run("query", "-", "-f", "csv", text=json.dumps(query))
    assert flags == piped
    rows = list(csv.DictReader(io.StringIO(flags)))
    assert rows
    assert sum(int(row["responses.count"]) for row in rows) > 0
    assert "SELECT" in shell.run("query", "--measures", "responses.count", "--sql")


def test_with_a_server_running_the_commands_talk_to_it(shell: Shell) -> None:
    alone = shell.run("query", "--measures", "responses.count", "-f", "json")
    with shell.server() as url:
        assert httpx2.get(f"{url}/health").json()["status"] == "healthy"
        assert shell.run("query", "--measures", "responses.count", "-f", "json") == alone
        token = shell.run("token", "teacher@example.org").strip()
        me = httpx2.get(f"{url}/api/v1/users/me", headers={"Authorization": f"Bearer {token}"}).json()
        assert me["data"]["role"] == "teacher"
        shell.run("status", "--healthy")
        assert "Answers" in shell.run("report", "classroom-engagement", "--classroom-id", "1")


def test_a_demo_is_ended_by_ctrl_c_twice_in_the_midst_of_its_live_quiz(shell: Shell) -> None:
    command = [sys.executable, "-c", _MAIN, "demo", "--live", "--port", "0"]
    with subprocess.Popen(
        command, env=shell.environment, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "/live/join#" in line:
                break
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert (process.returncode, "Traceback" in rest) == (0, False), rest


def test_import_tells_what_it_did_and_what_it_refused(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "hill"
    folder.mkdir()
    (folder / "schools.csv").write_text("school_id,name,external_id,attrs\n1,Hill,,{}\n2,,,{}\n")
    told = shell.run("import", str(folder), "--rejects", str(tmp_path / "rejects.csv"), code=1)
    assert "1 rows were refused" in told
    assert (tmp_path / "rejects.csv").read_text()
    (folder / "schools.csv").write_text("school_id,name,external_id,attrs\n1,Hill,,{}\n")
    shell.run("import", str(folder))
    schools = shell.run("query", "--dimensions", "schools.name", "-f", "csv")
    assert "Hill" in schools


def test_mistakes_are_told_in_a_line(shell: Shell, tmp_path: Path) -> None:
    assert "responses.cout" in shell.run("query", "--measures", "responses.cout", code=1)
    assert "not JSON" in shell.run("query", "-", text="{", code=2)
    assert "no user" in shell.run("token", "nobody@example.org", code=1)
    assert "no folder" in shell.run("import", str(tmp_path / "nowhere"), code=2)
    assert "EDU_PORT" in shell.run("settings")
    (tmp_path / "a.yml").write_text("cubes:\n  - name: a\n    sql_tabel: a\n")
    assert "a.yml:3" in shell.run("models", "check", str(tmp_path), code=1).replace("\n", "")


def test_a_broken_model_stops_the_start_and_every_mistake_is_named(tmp_path: Path) -> None:
    cubes = tmp_path / "models" / "cubes"
    cubes.mkdir(parents=True)
    (cubes / "x.yml").write_text(
        "cubes:\n  - name: x\n    sql_tabel: x\n    measures:\n      - {name: n, type: cuont}\n"
    )
    shell = Shell(tmp_path / "data")
    for words in (["models", "check", str(cubes.parent)], ["serve", "--port", "0", "--models", str(cubes.parent)]):
        told = shell.start(*words, code=1)
        assert "x.yml:3: sql_tabel" in told and "Did you mean 'sql_table'?" in told
        assert "x.yml:5: type: 'cuont'" in told and "Did you mean 'count'?" in told
        assert words[0] != "models" or "3 mistakes in 1 file" in told
        assert "Traceback" not in told


def test_the_semantic_layer_alone_serves_any_model_over_any_clickhouse(tmp_path: Path) -> None:
    models, folder = tmp_path / "models", tmp_path / "clickhouse"
    models.mkdir()
    (models / "orders.yml").write_text(
        "cubes:\n  - name: orders\n    sql_table: orders\n    measures:\n      - {name: count, type: count}\n"
        "    dimensions:\n      - {name: id, sql: id, type: number, primary_key: true}\n"
    )
    make = (
        "import sys, clickhouse_connect as c; d = c.get_client(interface='chdb', path=sys.argv[1]);"
        "d.command('CREATE TABLE orders (id Int64) ENGINE = MergeTree ORDER BY id');"
        "d.command('INSERT INTO orders SELECT number FROM numbers(7)'); d.close()"
    )
    subprocess.run([sys.executable, "-c", make, str(folder)], check=True, cwd=_ROOT)
    alone = Shell(tmp_path / "data", CLICKHOUSE_URL=f"chdb://{folder}")
    with alone.server("--models", str(models)) as url:
        token = alone.run("token", "--role", "analyst").strip()
        query = {"query": {"measures": ["orders.count"]}}
        answer = httpx2.post(f"{url}/cubejs-api/v1/load", json=query, headers={"Authorization": token}).json()
        assert answer["data"] == [{"orders.count": "7"}]
        assert httpx2.post(f"{url}/cubejs-api/v1/load", json=query).status_code == 403
        assert httpx2.get(f"{url}/health").json()["checks"] == {"warehouse": "ok", "disk_space": "ok"}
        assert httpx2.post(f"{url}/auth/login", json={}).status_code == 404
        assert "7" in alone.run("query", "--measures", "orders.count", "--models", str(models), "-f", "csv")
    assert not (tmp_path / "data" / "postgres").exists()
