"""Who are you: registration, log-in, tokens.  routes → service → store; passwords and tokens are their own modules."""
