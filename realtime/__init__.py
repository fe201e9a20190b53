"""A live quiz: a message → the room.

connection (one socket: authenticated, bounded, heard) → hub (all rooms of this node) → room (one quiz on this node)
→ session (pure: command + state → events) → log (compare-and-set in Postgres, gap-free offsets)
→ broker | valkey (a hint to the other nodes) → hub → every socket of the room.

Two kinds of frame (protocol): log frames are what happened, durable and replayed by offset; state frames are how
things stand (histogram, presence), latest value only. Postgres is the truth, the broker only an accelerator:
every node compares its offsets with the log once a second, so a lost hint costs a second and nothing else.
An answer goes through the hub to the answer writer that api hands over (grading), and is acknowledged after its commit.
"""
