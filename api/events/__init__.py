"""What happened: one event or {"events": [...]} → 202 and an outcome for each.  routes → service → ingestion."""
