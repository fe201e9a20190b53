"""Dead letters: what was refused, found again, mended and played again.  routes → service → ingestion.letters."""
