-- Who was erased, by number: kept apart from the record, so that one restored from a backup erases him again.
CREATE TABLE IF NOT EXISTS erasures
(
    user_id Int64, created_at DateTime64(6, 'UTC'), school_id Nullable(Int64), erased_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree ORDER BY (user_id, created_at)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
