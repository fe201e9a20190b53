"""What the operator asks: how far ClickHouse is, what was refused, what the model holds.  routes → service."""
