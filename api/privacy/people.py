"""Every table that knows a person, how his rows are found, and what of them he gets.

`tests/api/privacy` reads the schema: a column that points to a person, by number or address, stands in `covers` of a
part, or in `LEFT_OUT`.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Part:
    """One table of the archive: its name, its query (`%(user)s` is the person), what it is, the columns it follows."""

    name: str
    query: str
    english: str
    german: str
    covers: tuple[str, ...]


_DEAD_LETTERS = """
select id, school_id, stage, kind, reason, payload, fixed, event_id, received_at, state, outcome from dead_letters
where user_id = %(user)s or school_id = (select school_id from users where id = %(user)s)
  and jsonb_path_exists(payload, '$.** ? (@.user_id == $id || @.user_id == $text
                                       || @.student_id == $id || @.student_id == $text)',
                        jsonb_build_object('id', %(user)s::bigint, 'text', %(user)s::text))
order by id
"""
PARTS = (
    Part(
        "account",
        """select id, school_id, role, name, email, email_source, username, external_id, language, attrs,
                  password_hash is not null as has_password, one_time_until, email_verified_at, disabled_at, created_at
           from users where id = %(user)s""",
        "The account. The password is kept as a hash only and is not given out.",
        "Das Konto. Vom Passwort wird nur ein Hashwert gespeichert; er wird nicht herausgegeben.",
        ("users.id", "users.email"),
    ),
    Part(
        "consent",
        """select s.name as school, s.consent_basis, s.share_with_network, s.retention_months, u.consent,
                  shared_with_network(u.school_id, u.consent) as shared_with_network
           from users u join schools s on s.id = u.school_id where u.id = %(user)s""",
        "Consent: on what the school relies, what this person said, and whether the network's analysts see the data.",
        "Einwilligung: worauf sich die Schule stützt, was diese Person gesagt hat, ob der Verbund die Daten sieht.",
        (),
    ),
    Part(
        "enrolments",
        """select e.id, e.classroom_id, c.name as classroom, e.role, e.valid_from, e.valid_to
           from enrolments e join classrooms c on c.id = e.classroom_id where e.user_id = %(user)s order by e.id""",
        "The classrooms this person belongs or belonged to.",
        "Die Klassen, zu denen diese Person gehört oder gehörte.",
        ("enrolments.user_id",),
    ),
    Part(
        "classrooms_led",
        "select id, name, subject, created_at from classrooms where teacher_id = %(user)s order by id",
        "The classrooms this person leads.",
        "Die Klassen, die diese Person leitet.",
        ("classrooms.teacher_id",),
    ),
    Part(
        "responses",
        """select r.response_id, r.submitted_at, r.received_at, r.classroom_id, r.session_id, s.mode, r.quiz_id,
                  z.title as quiz, r.question_id, q.title as question, r.attempt_number, r.choice, r.correct, r.score,
                  r.time_spent_ms, r.client_id
           from responses r join quiz_sessions s on s.id = r.session_id join quizzes z on z.id = r.quiz_id
           join questions q on q.id = r.question_id
           where r.student_id = %(user)s order by r.response_id""",
        "Answers to questions, also those given in live quizzes (mode: live).",
        "Antworten auf Fragen, auch die aus Live-Quizzen (mode: live).",
        ("responses.student_id",),
    ),
    Part(
        "live_quizzes",
        """select p.session_id, p.nickname, p.team, p.kicked_at
        from live_people p where p.user_id = %(user)s order by 1""",
        "Live quizzes: the nickname and the team this person had, and whether a teacher sent this person out.",
        "Live-Quizze: Spitzname und Team dieser Person und ob eine Lehrkraft sie hinausgeschickt hat.",
        ("live_people.user_id",),
    ),
    Part(
        "live_answers",
        """select session_id, question_id, run, choice, correct, score, time_spent_ms, submitted_at, client_id,
                  set_aside_at
           from live_answers where student_id = %(user)s order by submitted_at""",
        "Answers in live quizzes that may still be changed, or were set aside when a question was dropped.",
        "Antworten in Live-Quizzen, die noch geändert werden können oder mit einer Frage verworfen wurden.",
        ("live_answers.student_id",),
    ),
    Part(
        "live_turns",
        """select session_id, position, question_id, to_timestamp(opens_at / 1000.0) as opened_at,
                  to_timestamp(closes_at / 1000.0) as closes_at
           from live_turns where student_id = %(user)s order by session_id, position""",
        "When this person was given which question of a live quiz that everybody goes through alone.",
        "Wann diese Person welche Frage eines Live-Quizzes bekam, das jede Person für sich durchgeht.",
        ("live_turns.student_id",),
    ),
    Part(
        "quiz_results",
        """select r.id, r.session_id, r.quiz_id, z.title as quiz, r.attempt_number, r.score, r.max_score, r.submitted_at
           from quiz_results r join quizzes z on z.id = r.quiz_id where r.student_id = %(user)s order by r.id""",
        "Results of quizzes that are known only as a sum.",
        "Ergebnisse von Quizzen, die nur als Summe bekannt sind.",
        ("quiz_results.student_id",),
    ),
    Part(
        "events",
        """select event_id, event_name, app, occurred_at, received_at, classroom_id, quiz_id, session_id, question_id,
                  client_id, props
           from events where user_id = %(user)s order by event_id""",
        "What this person did in the apps.",
        "Was diese Person in den Apps getan hat.",
        ("events.user_id",),
    ),
    Part(
        "quizzes_made",
        "select id, title, subject, created_at, deleted_at from quizzes where created_by = %(user)s order by id",
        "Quizzes this person made.",
        "Quizze, die diese Person erstellt hat.",
        ("quizzes.created_by",),
    ),
    Part(
        "log_ins",
        """select id, created_at, refreshed_at, expires_at, revoked_at, revoked_reason, client, method
           from login_sessions where user_id = %(user)s order by created_at""",
        "Log-ins, without their secrets.",
        "Anmeldungen, ohne ihre Geheimnisse.",
        ("login_sessions.user_id",),
    ),
    Part(
        "log_ins_ended",
        "select at, kind, keep_until from revocations where kind = 'user' and subject = %(user)s::text order by seq",
        "Moments at which all log-ins were ended.",
        "Zeitpunkte, an denen alle Anmeldungen beendet wurden.",
        ("revocations.subject",),
    ),
    Part(
        "external_identities",
        "select issuer, subject, linked_at from external_identities where user_id = %(user)s order by linked_at",
        "Accounts of other providers that are linked to this one.",
        "Konten anderer Anbieter, die mit diesem verbunden sind.",
        ("external_identities.user_id",),
    ),
    Part(
        "access_keys",
        """select id, name, scopes, created_at, expires_at, revoked_at
           from service_tokens where user_id = %(user)s order by created_at""",
        "Tokens for scripts that this person made, without their secrets.",
        "Zugangsschlüssel für Skripte, die diese Person angelegt hat, ohne ihre Geheimnisse.",
        ("service_tokens.user_id",),
    ),
    Part(
        "mails",
        """select purpose, email, created_at, expires_at, used_at
           from mail_tokens where user_id = %(user)s order by created_at""",
        "Mails with a link that were sent to this person.",
        "E-Mails mit einem Link, die an diese Person gingen.",
        ("mail_tokens.user_id", "mail_tokens.email"),
    ),
    Part(
        "letters",
        """select kind, email, language, created_at, expires_at, tries from letters
           where lower(email) = (select lower(email) from users where id = %(user)s) order by created_at""",
        "Mails to this person that wait to be sent; a mail that was sent is kept here no longer.",
        "E-Mails an diese Person, die auf den Versand warten; was versandt ist, steht hier nicht mehr.",
        ("letters.email",),
    ),
    Part(
        "invitations",
        """select school_id, role, classroom_id, created_at,
                  case when created_by = %(user)s then 'made' else 'received' end as part,
                  expires_at, uses, revoked_at
           from invitations where created_by = %(user)s
              or lower(email) = (select lower(email) from users where id = %(user)s) order by created_at""",
        "Invitations this person made or received.",
        "Einladungen, die diese Person ausgesprochen oder erhalten hat.",
        ("invitations.created_by", "invitations.email"),
    ),
    Part(
        "schools_read",
        """select school_id, granted_at, case when user_id = %(user)s then 'received' else 'given' end as part
           from analyst_schools where user_id = %(user)s or granted_by = %(user)s order by granted_at""",
        "Schools whose data this person may read as an analyst, or that this person opened to one.",
        "Schulen, deren Daten diese Person auswerten darf oder die sie anderen dafür geöffnet hat.",
        ("analyst_schools.user_id", "analyst_schools.granted_by"),
    ),
    Part(
        "holds",
        """select id, school_id, reason, set_by, set_at, released_at from holds where user_id = %(user)s
              or user_id is null and school_id = (select school_id from users where id = %(user)s) order by id""",
        "Legal holds: while one stands, nothing about this person is erased.",
        "Aufbewahrungspflichten: solange eine besteht, wird nichts über diese Person gelöscht.",
        ("holds.user_id",),
    ),
    Part(
        "imported_from",
        "select source, source_id from import_ids where entity = 'users' and id = %(user)s order by source",
        "The numbers of this person in systems from which data was imported.",
        "Die Nummern dieser Person in Systemen, aus denen Daten übernommen wurden.",
        (),
    ),
    Part(
        "refused",
        _DEAD_LETTERS,
        "What was sent about this person and could not be taken.",
        "Was über diese Person gesendet und nicht angenommen wurde.",
        ("dead_letters.user_id",),
    ),
    Part(
        "audit",
        """select occurred_at, actor_id, actor_role, action, outcome, target, cardinality(subjects) as people, details
           from audit_log where actor_id = %(user)s or subjects @> array[%(user)s::bigint] order by chain""",
        "Who saw or changed this person's data, and what this person saw or changed. People are told by number.",
        "Wer Daten dieser Person gesehen oder geändert hat, und was sie selbst gesehen oder geändert hat. Nur Nummern.",
        ("audit_log.actor_id", "audit_log.subjects"),
    ),
)
LEFT_OUT = MappingProxyType(
    {
        "erased_people.user_id": "numbers of people who have been erased: nobody who could ask for an export",
        "dead_letters.sender_id": "who sent what is about somebody else; about himself it is in dead_letters.user_id",
        "dead_letters.fixed_by": "who mended it; the audit log has it",
        "dead_letters.replayed_by": "who played it again; the audit log has it",
        "event_types.created_by": "who registered a type of event; the audit log has it",
        "row_changes.key": "numbers of changed rows, for the way to ClickHouse; what changed is in the tables",
    }
)
"""Columns that may hold a person's number and are in no part, each with its reason.

Live rooms' own tables (`live_sessions`, `live_log`) hold questions and moments, no person;
ClickHouse holds copies only.
"""
