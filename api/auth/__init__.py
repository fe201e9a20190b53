"""Who are you: registration, log-in, tokens.

password → service → sessions (a family of refresh tokens, in the record) → tokens (signed, minutes) ← key_ring ← keys
what ends: revocations (record → memory of every server) ← watch (two seconds) ← notices (Valkey, at once)
service_tokens: a script's token with scopes.  cookies: the refresh token of a browser.
"""
