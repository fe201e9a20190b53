"""What is changed afterwards: a person is erased, answers are graded anew with a corrected key.

  queue      the table `amendments`: what was asked, how far it is, what came of it
  holds      legal holds: while one stands, an erasure waits
  places     every place that knows a person, in the record and in ClickHouse; what becomes of it
  manifest   rows leave a batch: its number and fingerprint are those of what remains
  erasure    a person leaves the record, ClickHouse, the archive; the certificate
  grades     answers by what was chosen → their new marks (pure)
  regrading  new marks into the record and into ClickHouse
  replay     a record restored from a backup erases again whom ClickHouse knows as erased
  run        one step of each open amendment, between two batches

    waiting → (record: one transaction) → sending → (ClickHouse: one mutation a table) → settling → done
       ↕                                     ↑____________________________________________|
      held                                       what came in late is treated likewise

Invariants
  1. Only the elected loader amends, and only while no batch is prepared: a batch read again holds the same rows.
  2. The record changes in one transaction with the manifest and the amendment's state; ClickHouse follows. A kill at
     any point repeats the step, and each step may be repeated.
  3. ClickHouse's readers see a mutation from the moment it is accepted (`apply_mutations_on_fly`): all old, then all
     new. Its bytes are rewritten afterwards; an amendment is done only when they are.
  4. Nothing is done before what was under way when it was asked has come in: `settle_seconds`.
  5. Numbers only: no name and no address is kept in an amendment, a certificate, a hold, the list of the erased.
"""
