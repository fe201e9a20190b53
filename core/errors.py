"""The one error tree: every error knows its HTTP status, its stable code and how to mend the fault.

EduError
├── BadInput                400  the caller's fault
│   ├── QueryError          400  a question that cannot be asked
│   │   ├── UnknownMember        no such cube or member (details: nearest names)
│   │   │   ├── HiddenMember     it is there, and not for the public
│   │   │   ├── WrongKind        a dimension among the measures, or the like
│   │   │   └── UnknownGranularity   a time dimension has no such buckets
│   │   ├── InvalidQuery         the JSON is not a query
│   │   │   ├── InvalidSql       the SQL of a question cannot be read (details: line, column)
│   │   │   │   └── UnsupportedSql   it can be read, and nothing of the model answers to it
│   │   │   └── TooComplex       more conditions or values than a question may have
│   │   │       └── TooDeep          deeper nested than a question may be
│   │   ├── InvalidDate          a date string that nobody can read
│   │   ├── NoJoinPath           the members cannot be joined
│   │   ├── Unanswerable         a right answer cannot be computed; refused instead of guessed
│   │   ├── RefusedByStore       ClickHouse refuses the statement (its own words are the message)
│   │   │   └── WrongValue       a value cannot be read as the type of the column
│   │   └── Cancelled            the caller stopped the question
│   ├── ModelError          400  a mistake in a model file (details: file, line, key)
│   │   └── ModelErrors          every mistake of a load, together
│   └── InvalidField        422  a field of a body or a parameter
├── Unauthenticated         401  who are you?
├── Forbidden               403  you may not
│   └── AccessDenied             the policy of the model says no
├── NotFound                404
├── TooSlow                 408  the body did not come in time
├── Conflict                409
├── TooLarge                413
│   ├── AddressTooLong      414
│   └── HeadersTooLarge     431
├── WrongMedia              415  a kind or an encoding of body that we do not read (details: supported)
├── TooMany                 429  come back after `retry_after` seconds
├── Unavailable             503  a store is away; nothing was written
│   └── StoreTimeout        504
├── ContinueWait            200  still running: ask the same again (details: stage, time_elapsed)
├── NotBuilt                501  a thing of Cube's that this version does not have
└── StartupError                 the process cannot start (settings, data folder, model)
    └── FolderInUse              another process holds the data folder

Details of a question's errors: `path` (the place in the JSON, `filters[0].member`) or `line` and `column` (the place in
the SQL), `member` (the name that is wrong), `nearest` (right names like it). `ossie` is the code which Apache Ossie's
foundational semantics give to the same fault.
"""

from __future__ import annotations

from typing import Any


class EduError(Exception):
    """Something went wrong."""

    code = "error"
    status = 500
    ossie: str | None = None

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str | None = None,
        hint: str | None = None,
        ossie: str | None = None,
        **details: Any,
    ) -> None:
        self.message = message or (self.__doc__ or "").strip().splitlines()[0]
        self.code = code or type(self).code
        self.hint = hint
        self.ossie = ossie or type(self).ossie
        self.details = {key: value for key, value in details.items() if value is not None}
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message


class BadInput(EduError):
    """The request cannot be understood."""

    code = "bad_input"
    status = 400


class QueryError(BadInput):
    """The question cannot be asked."""

    code = "query_error"


class UnknownMember(QueryError):
    """No such cube or member."""

    code = "unknown_member"
    ossie: str | None = "E_NAME_NOT_FOUND"


class HiddenMember(UnknownMember):
    """The member is not public."""

    code = "hidden_member"


class WrongKind(UnknownMember):
    """The member is of another kind: a dimension among the measures, say."""

    code = "wrong_kind"
    ossie = None


class UnknownGranularity(UnknownMember):
    """The time dimension has no such granularity."""

    code = "unknown_granularity"


class InvalidQuery(QueryError):
    """The query has the wrong form."""

    code = "invalid_query"


class InvalidSql(InvalidQuery):
    """The SQL cannot be read."""

    code = "invalid_sql"


class UnsupportedSql(InvalidSql):
    """The SQL asks for something that no question can ask."""

    code = "unsupported_sql"


class InvalidDate(QueryError):
    """The date cannot be read."""

    code = "invalid_date"


class NoJoinPath(QueryError):
    """The members cannot be joined."""

    code = "no_join_path"
    ossie = "E_NO_PATH"


class TooComplex(InvalidQuery):
    """The question has more conditions or values than a question may have."""

    code = "too_complex"


class TooDeep(TooComplex):
    """The question nests deeper than a question may."""

    code = "too_deep"


class Unanswerable(QueryError):
    """A right answer to this question cannot be computed."""

    code = "unanswerable"


class RefusedByStore(QueryError):
    """ClickHouse refuses the statement."""

    code = "database_error"


class WrongValue(RefusedByStore):
    """A value cannot be read as the type of the column that it is compared with."""

    code = "wrong_value"


class Cancelled(QueryError):
    """The question was stopped by who asked it."""

    code = "cancelled"


class ModelError(BadInput):
    """A model file has a mistake."""

    code = "model_error"


class ModelErrors(ModelError):
    """The model has mistakes."""

    code = "model_errors"

    def __init__(self, errors: list[ModelError]) -> None:
        self.errors = errors
        code = next((error.ossie for error in errors if error.ossie), None)
        super().__init__("\n".join(str(error) for error in errors), ossie=code, count=len(errors))


class InvalidField(BadInput):
    """A field has a wrong value."""

    code = "invalid_field"
    status = 422


class Unauthenticated(EduError):
    """Log in first."""

    code = "unauthenticated"
    status = 401


class Forbidden(EduError):
    """You may not do that."""

    code = "forbidden"
    status = 403


class AccessDenied(Forbidden):
    """The access policy does not allow that."""

    code = "access_denied"


class NotFound(EduError):
    """There is no such thing here."""

    code = "not_found"
    status = 404


class Conflict(EduError):
    """That contradicts what is already there."""

    code = "conflict"
    status = 409


class TooLarge(EduError):
    """That is too large."""

    code = "too_large"
    status = 413


class AddressTooLong(TooLarge):
    """The address is too long."""

    code = "address_too_long"
    status = 414


class HeadersTooLarge(TooLarge):
    """The headers are too many or too long."""

    code = "headers_too_large"
    status = 431


class WrongMedia(EduError):
    """The body has a kind or an encoding that is not understood."""

    code = "unsupported_media"
    status = 415


class TooSlow(EduError):
    """The body did not come in time."""

    code = "too_slow"
    status = 408


class TooMany(EduError):
    """Too many requests; try again later."""

    code = "too_many_requests"
    status = 429

    def __init__(self, message: str | None = None, *, retry_after: int = 1, **details: Any) -> None:
        super().__init__(message, retry_after=retry_after, **details)
        self.retry_after = retry_after


class Unavailable(EduError):
    """A store cannot be reached; nothing was written. Try again."""

    code = "unavailable"
    status = 503


class StoreTimeout(Unavailable):
    """The store did not answer in time."""

    code = "timeout"
    status = 504


class NotBuilt(EduError):
    """This version does not have that."""

    code = "not_built"
    status = 501


class ContinueWait(EduError):
    """Continue wait"""

    code = "continue_wait"
    status = 200


class StartupError(EduError):
    """The process cannot start."""

    code = "startup"


class FolderInUse(StartupError):
    """Another process holds the data folder."""

    code = "folder_in_use"


def nearest(name: str, names: list[str], limit: int = 3) -> list[str]:
    """The names most like `name`, best first; none when nothing comes near."""
    from rapidfuzz import fuzz, process  # only a mistake needs it, and nearly every module imports this one

    found = process.extract(name, names, scorer=fuzz.ratio, limit=limit, score_cutoff=60)
    return [match for match, _, _ in found]
