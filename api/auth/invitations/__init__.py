"""Whom a school asks in: join codes for many, invitations for one address.  routes → service (rules) → store (SQL)."""
