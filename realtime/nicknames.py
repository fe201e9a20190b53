"""Names that pupils choose: cleaned, so that nobody hides, breaks a line, or looks empty. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Container

LONGEST = 20
_KEPT = frozenset(" -_.'!")
_MARKS = 2
"""So many accents in a row; more are drawn over the lines around them."""


def clean(wish: str) -> str:
    """Letters, accents, digits, spaces and a few signs of it; emoji, direction marks and controls go. May be empty."""
    kept: list[str] = []
    marks = 0
    for letter in unicodedata.normalize("NFKC", wish):
        category = unicodedata.category(letter)
        marks = marks + 1 if category[0] == "M" else 0
        if category[0] == "L" or category == "Nd" or letter in _KEPT or (0 < marks <= _MARKS and kept):
            kept.append(letter)
    return " ".join("".join(kept).split())[:LONGEST].strip()


def key(name: str) -> str:
    """What is the same for two names that read alike."""
    return unicodedata.normalize("NFKC", name).casefold()


def free(wish: str, taken: Container[str]) -> str:
    """The cleaned wish, or `Guest`; with a number behind it while its key is taken."""
    base = clean(wish) or "Guest"
    name, number = base, 1
    while key(name) in taken:
        number += 1
        tail = f" {number}"
        name = base[: LONGEST - len(tail)].rstrip() + tail
    return name
