"""JSON → bound query: validation → normalisation (dates, limits) → lift (literals out) → bind (members, rights)."""
