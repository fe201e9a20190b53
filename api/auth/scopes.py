"""What a service token may be allowed; a route's rule names the scope that it needs, and one without stays closed."""

from __future__ import annotations

from enum import StrEnum


class TokenScope(StrEnum):
    """A class of routes; a token with the scope sees there what its maker sees."""

    QUERY = "query"
    REPORTS = "reports"
    EVENTS = "events"
    RESPONSES = "responses"
    QUIZZES = "quizzes"
    DIRECTORY_READ = "directory:read"
