-- Facts: append-only, written once by the loader; `batch` names the row of Postgres' `batches` that brought it.
CREATE TABLE IF NOT EXISTS responses
(
    response_id    UUID,
    school_id      Int64,
    classroom_id   Nullable(Int64),
    session_id     Int64,
    quiz_id        Int64,
    quiz_version   Int32,
    question_id    Int64,
    student_id     Int64,
    attempt_number Int32,
    choice         Nullable(String),
    correct        Nullable(Bool),
    score          Nullable(Float64),
    time_spent_ms  Nullable(Int64),
    submitted_at   DateTime64(3, 'UTC'),
    received_at    DateTime64(3, 'UTC'),
    batch          UInt64 CODEC(Delta, ZSTD),
    INDEX batch_range batch TYPE minmax GRANULARITY 1,
    INDEX quiz quiz_id TYPE set(100) GRANULARITY 4,
    INDEX student student_id TYPE bloom_filter GRANULARITY 4
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(submitted_at)
ORDER BY (school_id, classroom_id, quiz_id, submitted_at)
SETTINGS allow_nullable_key = 1, non_replicated_deduplication_window = 1000,
         fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS events
(
    event_id       UUID,
    school_id      Int64,
    user_id        Nullable(Int64),
    classroom_id   Nullable(Int64),
    quiz_id        Nullable(Int64),
    session_id     Nullable(Int64),
    question_id    Nullable(Int64),
    event_name     LowCardinality(String),
    schema_version Int16,
    app            LowCardinality(Nullable(String)),
    occurred_at    DateTime64(3, 'UTC'),
    received_at    DateTime64(3, 'UTC'),
    props          String CODEC(ZSTD(3)),
    batch          UInt64 CODEC(Delta, ZSTD),
    INDEX batch_range batch TYPE minmax GRANULARITY 1,
    INDEX user user_id TYPE bloom_filter GRANULARITY 4
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (school_id, classroom_id, event_name, occurred_at)
SETTINGS allow_nullable_key = 1, non_replicated_deduplication_window = 1000,
         fsync_after_insert = 1, fsync_part_directory = 1;

-- Dimensions: the newest version of a row wins; read them with FINAL.
CREATE TABLE IF NOT EXISTS schools
(
    id Int64, name String, time_zone LowCardinality(String), external_id Nullable(String), attrs String,
    created_at DateTime64(3, 'UTC'), version UInt64, is_deleted UInt8
)
ENGINE = ReplacingMergeTree(version, is_deleted) ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS users
(
    id Int64, school_id Nullable(Int64), role LowCardinality(String), name String, external_id Nullable(String),
    attrs String, created_at DateTime64(3, 'UTC'), version UInt64, is_deleted UInt8
)
ENGINE = ReplacingMergeTree(version, is_deleted) ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS classrooms
(
    id Int64, school_id Int64, teacher_id Nullable(Int64), name String, subject LowCardinality(Nullable(String)),
    external_id Nullable(String), created_at DateTime64(3, 'UTC'), version UInt64, is_deleted UInt8
)
ENGINE = ReplacingMergeTree(version, is_deleted) ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS enrolments
(
    id Int64, school_id Int64, classroom_id Int64, user_id Int64, role LowCardinality(String),
    valid_from DateTime64(3, 'UTC'), valid_to Nullable(DateTime64(3, 'UTC')), version UInt64, is_deleted UInt8
)
ENGINE = ReplacingMergeTree(version, is_deleted) ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS quizzes
(
    id Int64, school_id Nullable(Int64), classroom_id Nullable(Int64), title String,
    subject LowCardinality(Nullable(String)), created_by Nullable(Int64), quiz_version Int32,
    external_id Nullable(String), created_at DateTime64(3, 'UTC'), deleted_at Nullable(DateTime64(3, 'UTC')),
    version UInt64, is_deleted UInt8
)
ENGINE = ReplacingMergeTree(version, is_deleted) ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS questions
(
    id Int64, school_id Nullable(Int64), title String, qtype LowCardinality(String), options String,
    answer_key Nullable(String), max_score Float64, skills Array(String), external_id Nullable(String),
    created_at DateTime64(3, 'UTC'), version UInt64, is_deleted UInt8
)
ENGINE = ReplacingMergeTree(version, is_deleted) ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS quiz_questions
(
    id Int64, quiz_id Int64, quiz_version Int32, position Int32, question_id Int64,
    version UInt64, is_deleted UInt8
)
ENGINE = ReplacingMergeTree(version, is_deleted) ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS quiz_sessions
(
    id Int64, school_id Int64, classroom_id Nullable(Int64), quiz_id Int64, quiz_version Int32,
    mode LowCardinality(String), opened_at DateTime64(3, 'UTC'), started_at Nullable(DateTime64(3, 'UTC')),
    ended_at Nullable(DateTime64(3, 'UTC')), version UInt64, is_deleted UInt8
)
ENGINE = ReplacingMergeTree(version, is_deleted) ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS quiz_results
(
    id Int64, school_id Int64, classroom_id Nullable(Int64), session_id Int64, quiz_id Int64, student_id Int64,
    attempt_number Int32, score Float64, max_score Float64, submitted_at Nullable(DateTime64(3, 'UTC')),
    version UInt64, is_deleted UInt8
)
ENGINE = ReplacingMergeTree(version, is_deleted) ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
