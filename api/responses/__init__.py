"""Answers: one, or {"responses": [...]}; the server grades.  routes → service → ingestion (write), store (read)."""
