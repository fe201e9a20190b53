"""The pages' texts: the same in every language, all of them used, and none written into a page."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from realtime.protocol.words import MEANINGS, Close

WEB = Path(__file__).resolve().parents[2] / "web"
TEXTS = {path.stem: json.loads(path.read_text()) for path in (WEB / "texts").glob("*.json")}
PAGES = sorted(WEB.glob("live-*.html"))
SCRIPTS = sorted(WEB.glob("live-*.js"))
_FORMS = (".one", ".other")
_MADE = r"\b(?:t|has)\(\s*`([a-z]+)\.\$\{"
_NAMED = r"""["'`]([a-z]+\.[a-z_.]+)["'`]"""
_BRAND = {"EduAnalytics", "This page needs JavaScript."}


def test_languages_have_the_same_keys_with_the_same_values_in_them() -> None:
    assert {"en", "de"} <= TEXTS.keys()
    for language, texts in TEXTS.items():
        assert list(texts) == sorted(texts), f"{language}.json is not in order"
        assert texts.keys() == TEXTS["en"].keys(), language
        for key, text in texts.items():
            assert text.strip(), f"{language} {key}"
            assert _braces(text) == _braces(TEXTS["en"][key]), f"{language} {key}"


def _braces(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text))


def test_every_key_that_is_used_exists_and_every_key_is_used() -> None:
    text = "\n".join([*(page.read_text() for page in PAGES), *map(_code, SCRIPTS)])
    used = set(re.findall(r'data-(?:text|label|title)="([^"]+)"', text)) | _named(text)
    families = set(re.findall(_MADE, text))
    keys = {_stem(key) for key in TEXTS["en"]}
    assert used - keys == set(), "no such text"
    unused = {key for key in keys - used if key.split(".")[0] not in families}
    assert unused == set(), "nobody uses these"


def _named(text: str) -> set[str]:
    plain = set(re.findall(r"""\b(?:t|plural)\(\s*["']([^"']+)["']""", text))
    sections = {key.split(".")[0] for key in TEXTS["en"]}
    return plain | {key for key in re.findall(_NAMED, text) if key.split(".")[0] in sections}


def _code(script: Path) -> str:
    """A script without its comments."""
    return re.sub(r"(?m)^\s*(//|/\*\*).*$| // .*$", "", script.read_text())


def _stem(key: str) -> str:
    return next((key.removesuffix(form) for form in _FORMS if key.endswith(form)), key)


def test_every_close_code_that_means_stay_away_has_its_words() -> None:
    final = {int(code) for code in MEANINGS if code >= Close.BAD_TOKEN or code == Close.BYE}
    assert {f"fault.close_{code}" for code in final} <= TEXTS["en"].keys()


class _Words(HTMLParser):
    """Whatever stands in a page to be read."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.append(data.strip())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        spoken = {"aria-label", "title", "placeholder", "alt"}
        self.words += [f"{tag} {name}" for name, _ in attributes if name in spoken]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_text_is_written_into_a_page(page: Path) -> None:
    words = _Words()
    words.feed(page.read_text())
    assert set(words.words) <= _BRAND


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_no_text_is_written_into_a_script(script: Path) -> None:
    """A literal with two words in it, or one that is put into the page as it is, is a text."""
    code = _code(script)
    put = re.findall(
        r"""(?:textContent|innerText|title|placeholder)\s*=\s*(["'`][^"'`]*[A-Za-z]{2}[^"'`]*["'`])""", code
    )
    told = [word for word in re.findall(r'"([^"\n]*)"', code) if re.search(r"[A-Za-z]{2,}\s+[A-Za-z]{2,}", word)]
    assert put == []
    assert [word for word in told if not word.startswith(("too long for a QR", "button.main"))] == []
    assert not re.search(r"innerHTML|outerHTML\s*=|insertAdjacentHTML|document\.write", code), (
        "names are text, not markup"
    )
