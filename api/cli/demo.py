"""demo: a made-up district, the server, one answered query, and a live quiz that bots play."""

from __future__ import annotations

from typing import Annotated

import typer

from api.cli.client import read_settings, run
from api.cli.options import Data
from api.cli.serve import Host, Port


def demo(
    schools: Annotated[int, typer.Option(min=1)] = 1,
    classrooms: Annotated[int, typer.Option(min=1, help="Classrooms of each school.")] = 6,
    students: Annotated[int, typer.Option(min=1, help="Students of each classroom.")] = 24,
    days: Annotated[int, typer.Option(min=1, help="Days until today.")] = 60,
    live: Annotated[bool, typer.Option("--live", help="Let bots play a live quiz, for a few minutes.")] = False,
    exit_: Annotated[bool, typer.Option("--exit", help="Stop the server after the page.")] = False,
    host: Host = None,
    port: Port = None,
    data: Data = None,
) -> None:
    """Make a district if there is none, start the server, and show where to look."""
    from api.cli.showcase import show
    from ingestion.importers.district import District

    settings = read_settings(data, host=host, port=port, log_level="warning", log_format="console")
    district = District(schools=schools, classrooms_per_school=classrooms, students_per_classroom=students, days=days)
    run(lambda: show(settings, district, live=live, leave=exit_))
