"""Passwords after the first, and proved addresses: change, forget, reset, verify.  routes → service → mail/tokens."""
