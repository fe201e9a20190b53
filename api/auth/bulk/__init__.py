"""A school's accounts in one request, as JSON or CSV.  routes → sheet (rows) → service (rules) → store (SQL)."""
