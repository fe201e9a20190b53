"""An event → Postgres → ClickHouse, exactly once.

The path, in the order of the files
  events      what may be said: a typed schema per event name and version (custom: a school's own types)
  decoding    the bytes of a body → its events, in one pass where nothing is doubtful, else item by item
  accept      events at the door: accepted, known already, or rejected with a reason (scope: whose id is it?)
  responses   answers at the door: looked up (lookup), graded by the server (grading), numbered (attempts)
  writer      group commit: many requests, one transaction (staging: COPY; partitions: a table for each month)
  letters     what was refused: kept, found, mended, played again
  ▒ Postgres ▒ the record; what has been acknowledged is committed here
  windows     which rows are new: what one snapshot sees and an earlier one does not
  batches     the manifest: the boundaries of a batch are written down before it is sent (pipelines: its queries)
  facts       a batch → one insert (COPY text is ClickHouse's TabSeparated: rows pass through unread)
  dimensions  changed rows → their newest state → ReplacingMergeTree
  recovery    a batch whose insert was not confirmed: read back, complete, compare
  refusals    rows that ClickHouse does not take: found by halving, set aside, the rest goes on
  rebuild     ClickHouse lost its tables: its pipelines start anew from the record
  origin      is this the record that ClickHouse was filled from? rebase: from now on it is
  audit       number and fingerprint of each batch are compared; what is missing is sent again (removal: on command)
  replay      a range once more, into a twin that takes its place (manifest: which batch brought a row; differences:
              by hours); exchange: a table of another shape takes its place
  pruning     what nothing reads any more is forgotten
  loader      the loop; one is elected (term: its lock, its pulse, its epoch); a pipeline that fails rests alone
              (troubles); work on command comes piece by piece (jobs)
  ▒ ClickHouse ▒
  archive/    old months → Parquet files, and back; what a school keeps no longer; housekeeping
  status      how far it is (gauges: for Prometheus);  importers/ history from files;  failpoints the places where
              tests make it fail

Invariants
  1. Acknowledged means committed. No queue in memory holds the only copy of anything that was acknowledged.
  2. A client's retry meets its own id: event_id is made from (occurred_at, school, client_id), response_id from
     (session, question, student, attempt). A unique key on the partition key makes both hold for the whole table.
  3. The school comes from the caller, never from a body.
  4. Facts are append-only: what a window holds never changes after its snapshot, so a batch can be read again.
  5. Each committed row lies in exactly one window, whatever the order of commits; sequence numbers would lose rows.
  6. At most one batch of a pipeline is prepared; its boundaries are moved by compare-and-set under the row's lock.
  7. A token is never used for other data: `<pipeline>-<batch>`, and `-r<attempt>` for what a repair adds; the attempt
     grows once the rows have arrived, so a loader that wakes late sends known rows with a known token.
  8. The boundary moves only after a clean answer of the insert, or after number and fingerprint were compared.
  9. Only the elected loader writes to ClickHouse. A loader that lost its office is stopped by the epoch; an insert
     of it that comes late carries the token of the one that replaced it.
 10. Dimensions may be sent twice and early: the row's own version decides, not a transaction number, not a clock.
 11. Nothing is dropped in silence: what is refused is in `dead_letters` with its reason.
"""
