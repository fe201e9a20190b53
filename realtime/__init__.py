"""A live quiz: a message → the room.

connection (one socket: bounded, heard, written to) → hub (all rooms of this node; roster and people say who may come)
→ desk (what each frame is: an answer, a command) → room (one quiz on this node) → session (pure: command + state →
events; state: events + state → state) → log (compare-and-set in Postgres, gap-free offsets) → broker | valkey (a hint
to the other nodes) → hub → every socket of the room.

An answer: desk → answer writer that api hands over (grading), or provisional where it may still be changed; it is
acknowledged after its commit. roundtrips measures the way to a pupil, scoring makes points, board the leaderboard.
teams: dealt and ranked. turns: self-paced rooms. shows: state frames, and news of who came and went. upkeep: what is
repaired, locked and settled again and again.

Two kinds of frame (protocol): log frames are what happened, durable and replayed by offset; state frames are how
things stand (histogram, presence), latest value only. Postgres is the truth, the broker only an accelerator:
every node compares its offsets with the log once a second, so a lost hint costs a second and nothing else.
client is the other end: it comes back by itself and misses nothing.
"""
