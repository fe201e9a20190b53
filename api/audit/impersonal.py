"""The routes that show and change nothing of a person, each with its reason; every other route is `audited`."""

from __future__ import annotations

from types import MappingProxyType

IMPERSONAL = MappingProxyType(
    {
        "GET /": "the landing page",
        "GET /health": "the state of the server",
        "GET /health/live": "the state of the server",
        "GET /health/ready": "the state of the server",
        "GET /metrics": "counts",
        "GET /readyz": "the state of the server",
        "GET /livez": "the state of the server",
        "GET /docs": "documentation",
        "HEAD /docs": "documentation",
        "GET /docs/oauth2-redirect": "documentation",
        "HEAD /docs/oauth2-redirect": "documentation",
        "GET /openapi.json": "documentation",
        "HEAD /openapi.json": "documentation",
        "WS /web": "the files of the web page",
        "WS /ws/quiz": "its rooms note who comes in",
        "POST /auth/register": "records it where the account is made",
        "POST /auth/login": "records it where the password is checked, refusals too",
        "POST /auth/refresh": "the same log-in goes on",
        "POST /auth/logout": "records it where the log-in is ended",
        "POST /auth/logout-all": "records it where the log-ins are ended",
        "GET /auth/sessions": "the caller's own log-ins",
        "DELETE /auth/sessions/{session_id}": "records it where the log-in is ended",
        "DELETE /api/v1/users/{user_id}/sessions": "records it where the log-ins are ended",
        "POST /auth/service-tokens": "records it where the token is made",
        "GET /auth/service-tokens": "the caller's own tokens",
        "DELETE /auth/service-tokens/{token_id}": "records it where the token is ended",
        "GET /auth/keys": "public keys",
        "POST /auth/keys/rotate": "records it where the keys are rotated",
        "GET /.well-known/jwks.json": "public keys",
        "GET /api/v1/schools": "schools",
        "GET /api/v1/schools/{school_id}": "a school",
        "GET /api/v1/classrooms": "classrooms; their teachers by number",
        "GET /api/v1/classrooms/{classroom_id}": "a classroom; its teacher by number",
        "GET /api/v1/quizzes": "content; its maker by number",
        "POST /api/v1/quizzes": "content",
        "GET /api/v1/quizzes/{quiz_id}": "content; its maker by number",
        "PUT /api/v1/quizzes/{quiz_id}": "content",
        "DELETE /api/v1/quizzes/{quiz_id}": "content",
        "POST /api/v1/events": "adds to the record, which says when and whose; nothing is shown",
        "GET /api/v1/reports": "the names of the reports",
        "GET /api/v1/status": "counts",
        "GET /cubejs-api/v1/meta": "the names of members",
        "GET /cubejs-api/v1/sql": "nothing is run",
        "POST /cubejs-api/v1/sql": "nothing is run",
        "GET /cubejs-api/v1/dry-run": "nothing is run",
        "POST /cubejs-api/v1/dry-run": "nothing is run",
        "DELETE /cubejs-api/v1/running-query/{request_id}": "stops the caller's own question",
    }
)
"""`METHOD path` without `/api/v1` where a route stands at both (log-in and its kind)."""
