"""Old months → Parquet files → out of the record, out of ClickHouse; and back.

The path, in the order of the files
  layout        a table's columns as Postgres, ClickHouse and a file know them; what a row's digest is made of
  store         a folder or an S3-compatible store: whole files, written at once
  scratch       rows on their way: a table in ClickHouse that reads and writes Parquet, and sums it up
  manifest      the months and their files, as the record knows them
  export        a month of the record → files, read back and compared (the month takes no new rows from here on)
  dropping      record = files = ClickHouse? then the partition goes
  restore       files → ClickHouse or the record
  tiers         which month is due for what: hot, warm, cold
  removal       a cold month leaves ClickHouse; the batches' manifest is told (balance)
  erasure       a person leaves the files
  retention     what a school keeps no longer leaves everything
  housekeeping  all of that each hour, by the elected loader

Invariants
  1. A row is dropped from a store only while another holds it and was read back since.
  2. A file is never changed: a new one is written and read, the manifest points to it, the old one is garbage.
  3. Every step may be killed and run again. One worker at a time: `office` holds the archive's lock.
  4. From export to restore no row comes into a month: its partition refuses it, then there is no partition.
"""
