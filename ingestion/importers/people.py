"""Made-up people: names in several scripts, and for each classroom what its students can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
_NAMES = (
    (
        "Anna Lukas Mia Jonas Lea Felix Sophie Max Clara Paul",
        "Gruber Huber Wagner Müller Steiner Öztürk Weiß Fuchs Bauer Jäger",
    ),
    (
        "Chloé Hugo Zoë Théo Inès Loïc Élise Noé Léa Rémi",
        "Lefèvre Dubois Moreau Besançon Garçon Noël Petit Girard Roux Léger",
    ),
    (
        "Zofia Jakub Łucja Stanisław Żaneta Michał Hanna Błażej",
        "Wójcik Kowalska Dąbrowski Zieliński Źrebak Łuczak Nowak Mróz",
    ),
    (
        "Олена Дмитро Софія Андрій Марія Ярослав Ганна Юрій",
        "Шевченко Коваль Бондаренко Ткачук Лисенко Мельник Гнатюк Мороз",
    ),
    (
        "Ελένη Γιώργος Μαρία Νίκος Κατερίνα Δημήτρης Άννα Πέτρος",
        "Παππάς Νικολάου Γεωργίου Δήμου Οικονόμου Βασιλείου Ράπτης Μακρής",
    ),
    ("أمينة يوسف ليلى عمر مريم خالد سلمى طارق", "الحسن النجار حداد منصور الخطيب سليم العلي قاسم"),
    ("नेहा अर्जुन प्रिया रोहन अनन्या विवेक कविता संजय", "शर्मा पटेल गुप्ता सिंह वर्मा मेहता जोशी नायर"),
    ("美玲 伟 芳 志强 小雨 俊杰 静 浩然", "王 李 张 刘 陈 杨 赵 黄"),
    ("さくら 蓮 陽菜 翔太 結衣 大輝 美咲 悠真", "佐藤 鈴木 高橋 田中 伊藤 渡辺 山本 中村"),
    ("Nguyệt Minh Thảo Đức Hương Tuấn Ngọc Bảo", "Nguyễn Trần Lê Phạm Hoàng Vũ Đặng Bùi"),
    (
        "Aoife Seán Niamh Oisín Grace Jack Amara Kwame",
        "O’Brien Murphy Kelly Byrne Ní Dhomhnaill Smith-Jones Okafor Mensah",
    ),
)
_SHARES = (0.3, 0.07, 0.08, 0.09, 0.04, 0.1, 0.06, 0.06, 0.03, 0.05, 0.12)
_SCHOOL_SD, _CLASSROOM_SD, _STUDENT_SD = 0.34, 0.22, 0.91
_STRUGGLING = 0.08


@dataclass(frozen=True)
class Students:
    """The students of one classroom, one value each. Abilities are on the 2PL scale (mean 0, SD 1 over the district);
    `growth` is per week of school; `pace` is a factor of response time (log); `absence` a probability per day;
    `engagement` is the classroom's probability that a present student answers a question."""

    names: tuple[str, ...]
    ability: Floats
    growth: Floats
    pace: Floats
    absence: Floats
    engagement: float


def names(rng: np.random.Generator, count: int) -> tuple[str, ...]:
    """Made-up full names; given and family name are of one script."""
    scripts = rng.choice(len(_NAMES), count, p=_SHARES)
    draws = rng.random((count, 2))
    return tuple(_name(_NAMES[script], first, last) for script, (first, last) in zip(scripts, draws, strict=True))


def students(seed: int, school: int, classroom: int, count: int) -> Students:
    """The students of a classroom: school, classroom and person each add to the ability; a few struggle."""
    rng = generator(seed, "students", school, classroom)
    shared = generator(seed, "school", school).normal(0, _SCHOOL_SD) + rng.normal(0, _CLASSROOM_SD)
    ability = shared + rng.normal(0, _STUDENT_SD, count) - 1.5 * (rng.random(count) < _STRUGGLING)
    return Students(
        names=names(rng, count),
        ability=ability,
        growth=rng.normal(0.015, 0.012, count),
        pace=rng.normal(0, 0.25, count),
        absence=rng.beta(1.2, 20, count),
        engagement=float(rng.beta(14, 1.6)),
    )


def generator(seed: int, purpose: str, *numbers: int) -> np.random.Generator:
    """The random numbers of one purpose and place: the same for the same seed, whatever else was drawn."""
    return np.random.default_rng([seed, int.from_bytes(purpose.encode()[:8], "big"), *numbers])


def _name(script: tuple[str, str], first: Any, last: Any) -> str:
    given, family = (part.split(" ") for part in script)
    return f"{given[int(first * len(given))]} {family[int(last * len(family))]}"
