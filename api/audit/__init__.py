"""Who saw or changed which person's data: an append-only, hash-chained log in the record.

entries    what one line says: who, what, whose, when; numbers only, no names
store      lines into `audit_log` (the database chains them), pages out of it
queue      lines about reads: kept in memory for a moment, written in groups, never dropped
trail      what a route holds: `audited("user.read")` declares, `trail.note(…)` for reads, `trail.record(…)` for changes
personal   which members of a question say something about a person, and whose numbers an answer holds
refusals   what was refused to somebody known
impersonal the routes that touch no person's data, each with its reason
chain      is the chain whole?
routes     GET /api/v1/audit for admins and operators

A change is recorded in the transaction of the change, as its last statement: the chain is locked until the commit.
"""
