-- The way to ClickHouse: rows that it refuses, audits, work on command, and what a restored record needs.

-- trouble: why the pipeline waits. Batches up to settled_batch have no row in `batches` any more: they are old, or a
-- rebase has settled them. Rows up to floor_seq lie in no window: they were there when the record was rebased.
alter table pipelines
    add column timeline text,
    add column floor_seq bigint not null default 0,
    add column settled_batch bigint not null default 0,
    add column settled_rows bigint not null default 0,
    add column trouble text,
    add column failing_since timestamptz,
    add column failures int not null default 0;

-- keyed: the batch is the rows named in `batch_keys`, not those between two boundaries; it moves no boundary.
alter table batches add column keyed boolean not null default false;
create table batch_keys (
    pipeline text not null,
    batch    bigint not null,
    key      uuid not null,
    primary key (pipeline, batch, key)
);
drop index batches_prepared;
create unique index batches_prepared on batches (pipeline) where state = 'prepared';
create index batches_committed on batches (pipeline, committed_at);

-- Rows of the record that ClickHouse refuses: left out of their batch for ever, each with its dead letter. A row that is
-- tried again comes in a batch of its own (keyed).
create table refused_rows (
    pipeline   text not null,
    batch      bigint not null,
    key        uuid not null,
    letter     bigint not null,
    retried_at timestamptz,
    brought_at timestamptz,
    primary key (pipeline, batch, key)
);
create index refused_rows_key on refused_rows (key);
create index refused_rows_letter on refused_rows (letter);

-- What an audit found and nobody has settled yet.
create table audit_findings (
    pipeline   text not null,
    batch      bigint not null,
    kind       text not null check (kind in ('missing', 'extra', 'duplicate', 'unknown', 'unreadable')),
    rows       bigint not null,
    sample     uuid[] not null default '{}',
    found_at   timestamptz not null default clock_timestamp(),
    settled_at timestamptz,
    primary key (pipeline, batch, kind)
);

-- Work for the elected loader, on command or by the clock: audits, replays, exchanges, rebases.
create table loader_jobs (
    id           bigint generated always as identity primary key,
    kind         text not null check (kind in ('audit', 'replay', 'exchange', 'rebase', 'retry')),
    options      jsonb not null default '{}',
    state        text not null default 'requested' check (state in ('requested', 'running', 'done', 'failed')),
    progress     jsonb not null default '{}',
    result       jsonb,
    requested_at timestamptz not null default clock_timestamp(),
    started_at   timestamptz,
    ended_at     timestamptz
);
create index loader_jobs_open on loader_jobs (id) where state in ('requested', 'running');

-- The last run of each audit by the clock, and what all of them have repaired.
create table audits (
    kind       text primary key,
    started_at timestamptz not null,
    ended_at   timestamptz not null,
    batches    bigint not null,
    different  bigint not null,
    repaired   bigint not null,
    ever       bigint not null
);
