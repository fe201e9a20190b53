-- Who saw or changed which person's data: a copy of the record's chained log.
CREATE TABLE IF NOT EXISTS audit_log
(
    audit_id    UUID,
    chain       Int64,
    school_id   Nullable(Int64),
    actor_id    Nullable(Int64),
    actor_role  LowCardinality(String),
    action      LowCardinality(String),
    target      Nullable(String),
    subjects    Array(Int64),
    outcome     LowCardinality(String),
    request_id  Nullable(String),
    details     String CODEC(ZSTD(3)),
    occurred_at DateTime64(3, 'UTC'),
    received_at DateTime64(3, 'UTC'),
    hash        String,
    batch       UInt64 CODEC(Delta, ZSTD),
    INDEX batch_range batch TYPE minmax GRANULARITY 1,
    INDEX subject subjects TYPE bloom_filter GRANULARITY 4
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (school_id, occurred_at)
SETTINGS allow_nullable_key = 1, non_replicated_deduplication_window = 1000,
         fsync_after_insert = 1, fsync_part_directory = 1;

-- Whether the network's analysts may see a school's and a person's rows; nobody has said so: they may not.
ALTER TABLE schools ADD COLUMN IF NOT EXISTS shared Bool DEFAULT false;
ALTER TABLE users ADD COLUMN IF NOT EXISTS shared Bool DEFAULT false;
