"""Teams of a room, pure: who plays in which, and how they stand.

Teams differ in size, and pupils are ill; so a team has the mean of those of its members who have answered anything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from realtime.protocol import TeamPlace
from realtime.scoring import ranks


def smallest(sizes: Sequence[int]) -> int:
    """The team for one more pupil: the first of the smallest."""
    return min(range(len(sizes)), key=lambda team: sizes[team])


def deal(pupils: Iterable[int], chosen: Mapping[int, int], teams: int) -> dict[int, int]:
    """Pupil → team: the chosen as chosen, the others in their (shuffled) order to the smallest team."""
    dealt = dict(chosen)
    sizes = [sum(team == number for team in chosen.values()) for number in range(teams)]
    for pupil in pupils:
        if pupil not in dealt:
            dealt[pupil] = smallest(sizes)
            sizes[dealt[pupil]] += 1
    return dealt


def standings(sums: Mapping[int, int], team_of: Mapping[int, int], names: Sequence[str]) -> tuple[TeamPlace, ...]:
    """Every team by the mean points of its players (student → points), then by name; equal points share a rank."""
    points: defaultdict[int, list[int]] = defaultdict(list)
    for student, total in sums.items():
        if student in team_of:
            points[team_of[student]].append(total)
    means = {team: round(sum(points[team]) / max(1, len(points[team]))) for team in range(len(names))}
    ranked = ranks(means)
    order = sorted(means, key=lambda team: (ranked[team], names[team]))
    return tuple(TeamPlace(ranked[team], names[team], means[team], len(points[team])) for team in order)
