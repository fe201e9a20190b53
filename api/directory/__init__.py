"""Who learns where: schools, classrooms, users, enrolments.  routes → service (rules) → store (SQL)."""
