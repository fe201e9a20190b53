"""Every place that knows a person: how his rows are found there, and what becomes of them.

The person's own rows are deleted, not made anonymous: in a class of thirty an answer without a name still has an owner.
What he made for others stays without its maker: quizzes, classrooms, invitations that others accepted.
`tests/ingestion/amendments` looks through every column of both stores afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Place:
    """A table of the record: `where` finds his rows (`%(user)s`, `%(email)s`, `%(school)s`), `forget` is the column
    that is emptied; without it the rows are deleted."""

    name: str
    table: str
    where: str
    forget: str | None = None

    @property
    def count(self) -> str:
        """How many rows there are."""
        return f"select count(*) as n from {self.table} where {self.where}"

    @property
    def remedy(self) -> str:
        """The statement after which there are none."""
        if self.forget:
            return f"update {self.table} set {self.forget} = null where {self.where}"
        return f"delete from {self.table} where {self.where}"


_NAMES_HIM = """jsonb_path_exists(jsonb_build_array(payload, fixed), '$.** ? (@.user_id == $id || @.user_id == $text
    || @.student_id == $id || @.student_id == $text)',
    jsonb_build_object('id', %(user)s::bigint, 'text', %(user)s::text))"""
_LETTER = f"user_id = %(user)s or school_id is not distinct from %(school)s and {_NAMES_HIM}"
_ADDRESS = "lower(email) = lower(%(email)s::text)"

FACTS = MappingProxyType({"responses": "student_id", "events": "user_id"})
"""Facts and the column that names the person; their batches are mended (`manifest`)."""
RECORD = (
    Place("quiz results", "quiz_results", "student_id = %(user)s"),
    Place("enrolments", "enrolments", "user_id = %(user)s"),
    Place("log-ins", "login_sessions", "user_id = %(user)s"),
    Place("access keys", "service_tokens", "user_id = %(user)s"),
    Place("mail links", "mail_tokens", f"user_id = %(user)s or {_ADDRESS}"),
    Place("provider accounts", "external_identities", "user_id = %(user)s"),
    Place("grants received", "analyst_schools", "user_id = %(user)s"),
    Place("grants given", "analyst_schools", "granted_by = %(user)s", "granted_by"),
    Place("mails waiting", "letters", _ADDRESS),
    Place("mails about invitations", "letters", f"invitation_id in (select id from invitations where {_ADDRESS})"),
    Place("invitations received", "invitations", _ADDRESS),
    Place("invitations made", "invitations", "created_by = %(user)s", "created_by"),
    Place("quizzes made", "quizzes", "created_by = %(user)s", "created_by"),
    Place("classrooms led", "classrooms", "teacher_id = %(user)s", "teacher_id"),
    Place("live nickname", "live_people", "user_id = %(user)s"),
    Place("live answers", "live_answers", "student_id = %(user)s"),
    Place("live turns", "live_turns", "student_id = %(user)s"),
    Place("numbers elsewhere", "import_ids", "entity = 'users' and id = %(user)s"),
    Place("refused input", "dead_letters", _LETTER),
    Place("refused input sent", "dead_letters", "sender_id = %(user)s", "sender_id"),
    Place("refused input mended", "dead_letters", "fixed_by = %(user)s", "fixed_by"),
    Place("refused input played again", "dead_letters", "replayed_by = %(user)s", "replayed_by"),
    Place("types of events made", "event_types", "created_by = %(user)s", "created_by"),
    Place("account", "users", "id = %(user)s"),
)
"""In an order that the foreign keys allow: the account is the last."""

WAREHOUSE = (
    ("responses", "student_id"),
    ("events", "user_id"),
    ("quiz_results", "student_id"),
    ("enrolments", "user_id"),
    ("users", "id"),
)
"""ClickHouse: the rows go, all versions of them."""
FORMER = (("classrooms", "teacher_id"), ("quizzes", "created_by"))
"""ClickHouse: former versions of rows that stay; the newest one does not name him any more."""
REMAINS = (
    "audit_log: his number in the chained log of who did and saw what; no names (needed to prove what happened)",
    "revocations: his number, until the last token that it ended has expired",
    "row_changes: numbers of changed rows, on their way to ClickHouse",
    "amendments, holds, key_changes, erased_people, ClickHouse's erasures: his number, to prove and repeat it",
)
"""What is left on purpose, told in the certificate."""
