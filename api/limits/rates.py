"""The classes of routes and how many requests a minute each of them allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, cast, get_args

from fastapi.dependencies.models import Dependant

from core.settings import Settings

RateClass: TypeAlias = Literal["normal", "query", "reports", "events", "none"]
SECONDS = 60
"""The length of the moving window."""


@dataclass(frozen=True)
class Limited:
    """Stands beside `require(…)` in a route's dependencies and names its class; the innermost one holds."""

    name: RateClass

    async def __call__(self) -> None:
        """Nothing to do here: the gate has read it before any route runs."""


def limited(name: RateClass) -> Limited:
    """The class of a route or of a router; without it `normal`. `none` is for probes."""
    if name not in get_args(RateClass):
        raise ValueError(f"there is no rate class {name}")
    return Limited(name)


def class_of(dependant: Dependant | None) -> RateClass:
    """The class that a route's dependencies name, the last of them."""
    named = [part.call.name for part in _parts(dependant) if isinstance(part.call, Limited)]
    return named[-1] if named else "normal"


def _parts(dependant: Dependant | None) -> list[Dependant]:
    if dependant is None:
        return []
    return [found for part in dependant.dependencies for found in (part, *_parts(part))]


def allowed(settings: Settings, name: RateClass, *, service: bool) -> int:
    """Requests a minute for one caller; 0: as many as he likes."""
    if name == "none" or (service and settings.limit_services == 0):
        return 0
    own = cast(int, getattr(settings, f"limit_{name}"))
    return max(own, settings.limit_services) if service else own
