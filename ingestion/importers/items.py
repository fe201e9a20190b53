"""The item bank of the made-up district: questions whose wrong options are the mistakes that learners make.

In each list below: question, right answer, the attractive mistake, two other options; A–D are shuffled by the seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ingestion.importers.people import generator

_FACTS = {
    "science": """
Which gas do plants take in for photosynthesis?|carbon dioxide|oxygen|nitrogen|hydrogen
Why is it warmer in summer?|the Earth's axis is tilted|the Earth is nearer to the Sun|the Sun is larger|less wind
A stone and a feather fall in a vacuum. Which lands first?|both together|the stone|the feather|neither falls
What is the boiling point of water at sea level?|100 °C|90 °C|120 °C|212 °C
Which organ pumps the blood?|heart|lungs|liver|kidneys
What do we call an animal that eats only plants?|herbivore|carnivore|omnivore|predator
What carries the current in a metal wire?|electrons|protons|atoms|neutrons
Where does most of a tree's mass come from?|the air|the soil|the water|the sunlight
Which force keeps the Moon in its orbit?|gravity|magnetism|friction|air pressure
Ice melts. What happens to its mass?|it stays the same|it becomes less|it becomes more|it doubles
Which planet is the largest?|Jupiter|Saturn|Neptune|Earth
Sound cannot travel through …|a vacuum|water|steel|air
What is the unit of force?|newton|kilogram|joule|watt
Which of these is a mammal?|whale|shark|penguin|trout
""",
    "english": """
She … to school every day.|goes|go|going|gone
Yesterday I … a letter.|wrote|writed|written|write
If it rains, we … at home.|will stay|would stay|stayed|staying
The plural of “child” is …|children|childs|childrens|child
… book is this?|Whose|Who’s|Who|Whom
He is … than his brother.|taller|more tall|tallest|the tall
They have … friends here.|few|little|much|less
I have lived here … 2019.|since|for|from|at
The dog wagged … tail.|its|it’s|his’|it
There is … apple on the table.|an|a|some|any
She has … finished her homework.|already|yet|still|ever
“He said: I am tired.” He said that he … tired.|was|is|be|has
We look forward to … you.|seeing|see|saw|seen
Which word is spelled correctly?|necessary|neccessary|necesary|neccesary
""",
    "history": """
In which year did the First World War begin?|1914|1918|1939|1912
Who was the first emperor of Rome?|Augustus|Julius Caesar|Nero|Trajan
Where did the Industrial Revolution begin?|Great Britain|the United States|France|Germany
In which year did the Berlin Wall fall?|1989|1991|1961|1985
Which people built Machu Picchu?|the Inca|the Maya|the Aztecs|the Olmecs
Who printed with movable metal type in Europe around 1450?|Gutenberg|Luther|Columbus|Galileo
Which empire had Constantinople as its capital until 1453?|the Byzantine|the Ottoman|the Persian|the Mongol
When was the French Revolution?|1789|1798|1848|1815
Which river did the first Egyptian states grow along?|Nile|Tigris|Indus|Jordan
Who wrote the Ninety-five Theses?|Martin Luther|John Calvin|Erasmus|Henry VIII
Which ship carried Darwin around the world?|Beagle|Endeavour|Victoria|Mayflower
Who led the Mongols in 1206?|Genghis Khan|Kublai Khan|Attila|Timur
""",
    "geography": """
What is the capital of Australia?|Canberra|Sydney|Melbourne|Perth
What is the capital of Canada?|Ottawa|Toronto|Vancouver|Montréal
What is the capital of Türkiye?|Ankara|Istanbul|İzmir|Bursa
What is the capital of Brazil?|Brasília|Rio de Janeiro|São Paulo|Salvador
What is the capital of Switzerland?|Bern|Zürich|Geneva|Basel
What is the capital of Morocco?|Rabat|Casablanca|Marrakesh|Fès
What is the capital of Kazakhstan?|Astana|Almaty|Tashkent|Bishkek
Which ocean is the largest?|Pacific|Atlantic|Indian|Arctic
Which is the longest river of Europe?|Volga|Danube|Rhine|Dnipro
Which country has the most inhabitants?|India|China|Indonesia|the United States
On which continent is Suriname?|South America|Africa|Asia|Oceania
Which desert is the largest hot desert?|Sahara|Gobi|Kalahari|Atacama
Which line lies at 0° latitude?|the Equator|the prime meridian|the Tropic of Cancer|the Arctic Circle
Which mountain is the highest above the sea?|Mount Everest|K2|Mont Blanc|Kilimanjaro
""",
}
SUBJECTS = ("mathematics", *_FACTS)
LETTERS = "ABCD"
_MISKEYED = "mathematics-7"


@dataclass(frozen=True)
class Item:
    """One question: its options, the places of the right and of the most attractive wrong one, the key as recorded
    (wrong for one item of the bank), 2PL discrimination and difficulty, and the usual seconds."""

    key: str
    title: str
    options: tuple[str, ...]
    right: int
    attractive: int
    recorded: int
    discrimination: float
    difficulty: float
    seconds: float


def bank(seed: int) -> dict[str, tuple[Item, ...]]:
    """The items of every subject; the seed decides order of options, difficulty and discrimination."""
    return {subject: tuple(_items(subject, seed)) for subject in SUBJECTS}


def _items(subject: str, seed: int) -> Iterator[Item]:
    rng = generator(seed, f"items{subject}")
    lines = _FACTS[subject].strip().splitlines() if subject in _FACTS else list(_calculations(rng))
    for number, line in enumerate(lines, 1):
        title, *options = line.split("|")
        order = [int(place) for place in rng.permutation(4)]
        right, attractive = order.index(0), order.index(1)
        key = f"{subject}-{number}"
        yield Item(
            key=key,
            title=title,
            options=tuple(options[place] for place in order),
            right=right,
            attractive=attractive,
            recorded=attractive if key == _MISKEYED else right,
            discrimination=float(np.clip(rng.lognormal(0.1, 0.3), 0.5, 2.5)),
            difficulty=float(np.clip(rng.normal(-0.9, 0.9), -2.5, 1.3)),
            seconds=float(rng.lognormal(3.1, 0.35)),
        )


def _calculations(rng: np.random.Generator) -> Iterator[str]:
    """Arithmetic with the mistakes that its wrong options come from."""
    for first, second, third in rng.integers(2, 9, (6, 3)).tolist():
        a, b, c = first, second + 7, third
        yield f"What is {a}/{b} + 1/{c}?|" + _distinct(
            str(Fraction(a, b) + Fraction(1, c)), f"{a + 1}/{b + c}", f"{a + 1}/{b}", str(Fraction(a, b * c))
        )
        yield f"What is −{b} + {a}?|" + _distinct(f"−{b - a}", f"−{b + a}", str(b - a), str(b + a))
        yield f"What is {a} + {b} × {c}?|" + _distinct(str(a + b * c), str((a + b) * c), str(a * b + c), str(a + b + c))
        yield f"What is {a * 10} % of {c * 50}?|" + _distinct(
            str(a * c * 5), str(a * 10), str(c * 50 - a * 10), str(a * c * 50)
        )


def _distinct(*options: str) -> str:
    """Four different options; a repeated one is moved on."""
    chosen: list[str] = []
    for option in options:
        while option in chosen:
            option = f"{option}0"
        chosen.append(option)
    return "|".join(chosen)
