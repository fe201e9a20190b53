"""Figures that others printed about the same data, computed from the cubes alone."""

from __future__ import annotations

import json
from math import sqrt
from typing import Any

import pytest

from tests.semantic_models.installations import Installation
from tests.shared import shared


def quiz(external_id: str) -> list[dict[str, Any]]:
    """The filter for one quiz."""
    return [{"member": "quizzes.external_id", "operator": "equals", "values": [external_id]}]


def items(imported: Installation, external_id: str) -> list[dict[str, Any]]:
    """Item statistics in the order of the questions' numbers."""
    names = ["count", "facility", "score_variance", "discrimination"]
    rows, _ = imported.ask(
        {
            "measures": [f"item_scores.{name}" for name in names],
            "dimensions": ["questions.external_id"],
            "filters": quiz(external_id),
        }
    )
    return sorted(rows, key=lambda row: int(row["questions.external_id"].rpartition(".")[2]))


def scores(imported: Installation, external_id: str) -> dict[str, Any]:
    """The scores of one quiz."""
    names = ["count", "average_score", "score_variance", "score_deviation", "completion_rate"]
    rows, _ = imported.ask({"measures": [f"participations.{name}" for name in names], "filters": quiz(external_id)})
    return {name: rows[0][f"participations.{name}"] for name in names}


def alpha(imported: Installation, external_id: str) -> float:
    """Cronbach's α from the variances of the items and of the score."""
    found = items(imported, external_id)
    spread = sum(float(row["item_scores.score_variance"]) for row in found)
    return len(found) / (len(found) - 1) * (1 - spread / float(scores(imported, external_id)["score_variance"]))


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    """What others printed."""
    return dict(json.loads(shared("data", "refs", "published.json").read_text()))


def test_lsat6_item_means(imported: Installation, published: dict[str, Any]) -> None:
    got = [row["item_scores.facility"] for row in items(imported, "LSAT6")]
    assert got == pytest.approx(published["LSAT6"]["p_values"], abs=5e-4)
    rows, _ = imported.ask(
        {
            "measures": ["responses.first_attempt_accuracy"],
            "dimensions": ["questions.external_id"],
            "filters": quiz("LSAT6"),
            "order": [["questions.external_id", "asc"]],
        }
    )
    assert [row["responses.first_attempt_accuracy"] for row in rows] == pytest.approx(got)


@pytest.mark.parametrize("name", ["LSAT6", "LSAT7"])
def test_reliability_of_the_law_school_test(name: str, imported: Installation, published: dict[str, Any]) -> None:
    assert alpha(imported, name) == pytest.approx(published[name]["cronbach_alpha"], abs=1e-6)


def test_sat12_scores_and_reliability(imported: Installation, published: dict[str, Any]) -> None:
    expected, got = published["SAT12"], scores(imported, "SAT12")
    assert got["count"] == expected["N"]
    assert got["average_score"] == pytest.approx(expected["mean_total"], abs=1e-3)
    assert got["score_deviation"] == pytest.approx(expected["sd_total"], abs=1e-3)
    reliability = alpha(imported, "SAT12")
    assert reliability == pytest.approx(expected["alpha"], abs=1e-3)
    assert got["score_deviation"] * sqrt(1 - reliability) == pytest.approx(expected["SEM"], abs=2e-3)


def test_the_wrong_key_of_sat12_item_32_is_found(imported: Installation) -> None:
    """With the key of the manual, the item tells the strong from the weak worst of all."""
    worst = min(items(imported, "SAT12"), key=lambda row: row["item_scores.discrimination"])
    assert worst["questions.external_id"] == "SAT12.32"
    assert worst["item_scores.discrimination"] < 0.05


def test_reliability_of_the_homeostasis_inventory(imported: Installation, published: dict[str, Any]) -> None:
    assert scores(imported, "HCI")["count"] == published["HCI"]["N"]
    assert alpha(imported, "HCI") == pytest.approx(published["HCI"]["alpha"], abs=5e-5)


def test_licensure_exam(imported: Installation) -> None:
    """Mean 123.3 of 170 points, 53 seconds an item, α .895."""
    got = scores(imported, "form1")
    assert got["average_score"] == pytest.approx(123.3, abs=0.05)
    assert alpha(imported, "form1") == pytest.approx(0.895, abs=5e-4)
    rows, _ = imported.ask({"measures": ["responses.median_time_seconds"], "filters": quiz("form1")})
    assert rows[0]["responses.median_time_seconds"] == 53
    assert got["completion_rate"] == 1
