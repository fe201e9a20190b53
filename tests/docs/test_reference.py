"""Documentation cannot rot: reference pages equal the code, links lead somewhere, commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.generate import pages

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize(
    "name",
    ["settings.md", "errors.md", "http.md", "cli.md", "models.md", "model-keys.md", "arrows.md", "asyncapi.yaml"],
)
def test_a_reference_page_equals_the_code(name: str) -> None:
    written = (ROOT / "docs" / "reference" / name).read_text()
    assert written == pages()[name], "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    broken = [link for link in targets if "://" not in link and not (page.parent / link).exists()]
    assert broken == []


def test_every_command_that_the_pages_name_exists() -> None:
    known = set(re.findall(r"`eduanalytics ([a-z]+)", pages()["cli.md"]))
    named = {name for page in PAGES for name in re.findall(r"eduanalytics ([a-z]+)\b", page.read_text())}
    assert named - {"is", "in", "database"} <= known


def test_every_make_target_that_the_pages_name_exists() -> None:
    known = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"`?make ([a-z]+)`", page.read_text())}
    assert named <= known
