"""Quizzes, versioned: what was asked never changes.  routes → service → store; questions brings them to one form."""
