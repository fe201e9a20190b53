"""What becomes of each cell, of changed rows, of broken files."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.errors import BadInput, Conflict, NotFound, Unavailable
from core.postgres import connect
from ingestion.importers import import_folder

Ask = Callable[..., list[dict[str, Any]]]
CASES = json.loads((Path(__file__).parent / "rejects.json").read_text())


def _rejects(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_cells_become_values(folder: Path, postgres_url: str, ask: Ask) -> None:
    report = import_folder(postgres_url, folder)
    assert (report.rejected, report.source) == (0, "small")
    first, second, third = ask(
        "select * from responses r order by (select source_id from import_ids "
        "where entity = 'users' and id = r.student_id), submitted_at desc"
    )
    assert (third["choice"], second["choice"], first["choice"]) == ("B", "A", None)
    assert (second["score"], second["correct"], second["time_spent_ms"]) == (1.0, True, 12_500)
    assert (third["score"], third["correct"], third["time_spent_ms"]) == (0.0, False, None)
    assert third["submitted_at"] == datetime(2024, 3, 1, 8, 1, tzinfo=UTC)
    assert (first["score"], first["correct"], first["time_spent_ms"], first["quiz_version"]) == (None, None, 0, 1)
    (question, other) = ask("select * from questions order by title")
    assert question["options"] == [{"key": "A", "text": "A"}, {"key": "B", "text": "B"}]
    assert (question["answer_key"], question["max_score"], question["skills"]) == ("A", 2.0, ["add"])
    assert (other["options"], other["max_score"], other["skills"]) == ([], 1.0, [])
    assert ask("select attrs from users where name = 'Łucja'") == [{"attrs": {"a": 1}}]
    (enrolment, _) = ask("select * from enrolments order by user_id")
    assert enrolment["valid_from"] == datetime(1970, 1, 1, tzinfo=UTC)
    assert {row["mode"] for row in ask("select mode from quiz_sessions")} == {"imported"}
    (room,) = ask("select u.name from classrooms c join users u on u.id = c.teacher_id")
    assert room["name"] == "Ms T"
    (event,) = ask("select * from events")
    assert (event["event_name"], event["app"], event["props"]) == ("content_viewed", "notebook", {"page": 3})


def test_addresses_come_in_their_one_form(folder: Path, postgres_url: str, ask: Ask, tmp_path: Path) -> None:
    path = folder / "users.csv.gz"
    header, *rows = gzip.decompress(path.read_bytes()).decode().splitlines()
    given = ["Ada@BÜCHER.example", "no address", "", ""]
    lines = [f"{header},email", *(f"{row},{email}" for row, email in zip(rows, given, strict=True))]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    import_folder(postgres_url, folder, rejects=tmp_path / "r.csv")
    assert ask("select email from users where email is not null") == [{"email": "ada@xn--bcher-kva.example"}]
    first = _rejects(tmp_path / "r.csv")[0]
    assert (first["column"], first["reason"]) == ("email", "is not an e-mail address")


def test_a_session_without_a_start_keeps_the_moment_of_its_ids(folder: Path, postgres_url: str, ask: Ask) -> None:
    import_folder(postgres_url, folder)
    ids = ask("select response_id from responses order by 1")
    path = folder / "sessions.csv"
    path.write_text(path.read_text().replace("2,1,1,,", "2,1,1,2024-04-01T08:00:00Z,"))
    assert import_folder(postgres_url, folder).updated == 1
    (row,) = ask("select opened_at, started_at from quiz_sessions where started_at >= '2024-04-01'")
    assert row["opened_at"] == datetime(1970, 1, 1, tzinfo=UTC)
    assert ask("select response_id from responses order by 1") == ids


def test_a_renamed_user_is_renamed_and_nothing_else_changes(
    folder: Path, postgres_url: str, ask: Ask, everything: Callable[[], dict[str, Any]]
) -> None:
    import_folder(postgres_url, folder)
    before = everything()
    path = folder / "users.csv.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace("Łucja".encode(), b"Lucia")))
    report = import_folder(postgres_url, folder)
    assert (report.inserted, report.updated, report.rejected) == (0, 1, 0)
    after = everything()
    assert [table for table in before if before[table] != after[table]] == ["users", "row_changes"]
    assert ask("select version from users where name = 'Lucia'") == [{"version": 2}]


def test_a_second_run_changes_nothing_at_all(
    folder: Path, postgres_url: str, everything: Callable[[], dict[str, Any]]
) -> None:
    import_folder(postgres_url, folder)
    before = everything()
    report = import_folder(postgres_url, folder)
    assert (report.inserted, report.updated, report.rejected) == (0, 0, 0)
    assert everything() == before


def _spoil(folder: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """Append the row of every case to its file; (file, line) → case."""
    placed = {}
    for case in CASES:
        path = next(folder.glob(f"{case['table']}.csv*"))
        data = path.read_bytes()
        text = gzip.decompress(data) if path.suffix == ".gz" else data
        text += case["row"].encode("latin-1" if case.get("latin1") else "utf-8") + b"\n"
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
        placed[path.name, text.count(b"\n")] = case
    return placed


def test_bad_rows_are_refused_with_their_reasons_and_the_good_ones_go_in(
    folder: Path, postgres_url: str, everything: Callable[[], dict[str, Any]], tmp_path: Path
) -> None:
    good = import_folder(postgres_url, folder)
    before = everything()
    cases = _spoil(folder)
    report = import_folder(postgres_url, folder, rejects=tmp_path / "rejects.csv")
    found = {(row["file"], int(row["line"])): row for row in _rejects(tmp_path / "rejects.csv")}
    wrong = [
        (case["case"], found.get(place))
        for place, case in cases.items()
        if place not in found
        or found[place]["column"] != case["column"]
        or case["reason"] not in found[place]["reason"]
    ]
    assert wrong == []
    assert found.keys() == cases.keys()
    assert report.rejected == len(CASES) > 50
    assert (report.inserted, report.updated, good.rejected) == (0, 0, 0)
    assert everything() == before


def test_equal_rows_may_come_twice(folder: Path, postgres_url: str) -> None:
    for table in ("schools", "responses"):
        path = folder / f"{table}.csv"
        path.write_text(path.read_text() + path.read_text().splitlines()[1] + "\n")
    report = import_folder(postgres_url, folder)
    assert report.rejected == 0
    assert (report.tables["responses"].read, report.tables["responses"].inserted) == (4, 3)


def test_an_answer_that_is_stored_is_never_changed(folder: Path, postgres_url: str, ask: Ask, tmp_path: Path) -> None:
    import_folder(postgres_url, folder)
    path = folder / "responses.csv"
    path.write_text(path.read_text().replace("1,1,1,1,1,1,1,A,1,2", "1,1,1,1,1,1,1,B,1,2"))
    report = import_folder(postgres_url, folder, rejects=tmp_path / "r.csv")
    assert (report.rejected, report.inserted) == (1, 0)
    (row,) = _rejects(tmp_path / "r.csv")
    assert (row["line"], row["value"]) == ("2", "1")
    assert "never changed" in row["reason"]
    assert {row["choice"] for row in ask("select choice from responses")} == {"A", "B", None}


@pytest.mark.parametrize("kept", [0.5, 0.999])
def test_a_gzip_file_that_is_cut_off_gives_the_rows_that_are_whole(
    kept: float, folder: Path, postgres_url: str, ask: Ask, tmp_path: Path
) -> None:
    header, first, *_ = (folder / "responses.csv").read_text().splitlines()
    (folder / "responses.csv").unlink()
    cells = first.split(",")
    lines = [",".join([str(n), *cells[1:6], str(n), *cells[7:]]) for n in range(1, 3001)]
    data = gzip.compress("\n".join([header, *lines, ""]).encode())
    (folder / "responses.csv.gz").write_bytes(data[: int(len(data) * kept)])
    report = import_folder(postgres_url, folder, rejects=tmp_path / "r.csv")
    assert 1 <= report.rejected <= 2
    assert "cut off" in _rejects(tmp_path / "r.csv")[-1]["reason"]
    (row,) = ask("select count(*), max(attempt_number) as last, min(time_spent_ms) as spent from responses")
    assert row["count"] == row["last"] == report.tables["responses"].inserted
    assert 3000 * (kept - 0.3) < row["count"] < 3000
    assert row["spent"] == 12_500


def test_a_gzip_file_that_is_broken_in_the_middle_is_not_trusted(folder: Path, postgres_url: str, ask: Ask) -> None:
    path = folder / "events.csv.gz"
    rows = gzip.decompress(path.read_bytes()).decode()
    rows += "".join(f"{n},page_{n * 7919},notebook,1,,1,,2024-03-01T08:00:00Z\n" for n in range(2, 5000))
    data = bytearray(gzip.compress(rows.encode()))
    data[len(data) // 2 : len(data) // 2 + 50] = b"\xff" * 50
    path.write_bytes(data)
    with pytest.raises(BadInput, match=r"events\.csv\.gz: the gzip file is broken"):
        import_folder(postgres_url, folder)
    assert ask("select * from schools") == []


def test_mistakes_in_names_and_headers_come_all_at_once_and_nothing_is_written(
    folder: Path, postgres_url: str, ask: Ask
) -> None:
    (folder / "enrolments.csv").write_text("classroom_id\n")
    (folder / "schools.csv").write_text("school_id,name,external_id,attrs,name\n")
    (folder / "quizzes.csv").write_text("")
    (folder / "sessions.csv").write_text("session_id,quiz_id,clasroom_id,started_at,ended_at\n")
    (folder / "questions.csv.gz").write_bytes(b"not gzip")
    with pytest.raises(BadInput) as caught:
        import_folder(postgres_url, folder)
    message = caught.value.message
    assert "schools.csv: column name comes more than once" in message
    assert "quizzes.csv: has no header line" in message
    assert "sessions.csv: column classroom_id is missing; is clasroom_id meant?" in message
    assert "questions.csv.gz: questions.csv is there too" in message
    assert ask("select * from schools") == []


def test_a_misnamed_file_is_named_with_the_nearest_name(folder: Path, postgres_url: str) -> None:
    (folder / "enrollments.csv").rename(folder / "enrolments.csv")
    report = import_folder(postgres_url, folder)
    assert report.ignored == ["enrolments.csv is not part of the format; did you mean enrollments?"]
    assert "enrollments" not in report.tables


def test_a_folder_without_a_table_or_no_folder_at_all(tmp_path: Path, postgres_url: str) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(BadInput, match=r"no table of the format.*responses\.csv"):
        import_folder(postgres_url, tmp_path)
    with pytest.raises(NotFound):
        import_folder(postgres_url, tmp_path / "away")


def test_parts_may_come_one_after_another(folder: Path, postgres_url: str, tmp_path: Path) -> None:
    later = tmp_path / "later"
    later.mkdir()
    for name in ("responses.csv", "events.csv.gz"):
        (folder / name).rename(later / name)
    import_folder(postgres_url, folder)
    report = import_folder(postgres_url, later, source="small")
    assert (report.rejected, report.inserted) == (0, 4)


def test_columns_in_another_order_with_a_byte_order_mark_mean_the_same(
    folder: Path, postgres_url: str, ask: Ask
) -> None:
    path = folder / "schools.csv"
    path.write_text("\ufeffname,attrs,external_id,school_id,time_zone\r\nSüd,{},,1,Europe/Vienna\r\nNord,{},,2,\r\n")
    assert import_folder(postgres_url, folder).rejected == 0
    rows = ask("select name, time_zone from schools order by name")
    assert [tuple(row.values()) for row in rows] == [("Nord", "UTC"), ("Süd", "Europe/Vienna")]


def test_progress_tells_rows_total_and_table(folder: Path, postgres_url: str) -> None:
    seen: list[tuple[int, int | None, str]] = []
    import_folder(postgres_url, folder, progress=lambda *told: seen.append(told))
    assert seen[0] == (2, 2, "schools")
    assert ("responses", 3) in [(table, done) for done, _, table in seen]


def test_two_imports_of_one_source_do_not_run_at_once(
    folder: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect(postgres_url) as holder:
        holder.execute("select pg_advisory_lock(hashtextextended('import small', 0))")
        monkeypatch.setattr("ingestion.importers.loading._PATIENCE", "100ms")
        with pytest.raises(Conflict, match="small"):
            import_folder(postgres_url, folder)


def test_the_refused_rows_never_overwrite_the_import_and_never_run_in_a_spreadsheet(
    folder: Path, postgres_url: str, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="choose another"):
        import_folder(postgres_url, folder, rejects=folder / "schools.csv")
    assert (folder / "schools.csv").exists()
    with (folder / "quizzes.csv").open("a") as file:
        file.write("2,Two,,=cmd|x,,\n3,Three,,-2+3,,\n4,Four,,-cmd,,\n")
    assert import_folder(postgres_url, folder, rejects=tmp_path / "r.csv").rejected == 3
    assert [row["value"] for row in _rejects(tmp_path / "r.csv")] == ["'=cmd|x", "-2+3", "'-cmd"]


def test_a_server_that_does_not_answer_is_said_so(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="again"):
        import_folder(f"postgresql://postgres@/x?host={tmp_path}", folder)
