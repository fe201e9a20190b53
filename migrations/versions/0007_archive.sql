-- What has left the record for the archive, month by month, and what has left for good.

-- A month of one table on its way: writing → written → dropping → archived (its partition is gone) → restored.
-- warehouse: whether ClickHouse holds its rows. A month that was brought back stays until keep_until.
create table archive_months (
    table_name text not null,
    month      date not null check (month = date_trunc('month', month)),
    state      text not null default 'writing' check (state in
        ('writing', 'written', 'dropping', 'archived', 'restored')),
    warehouse  text not null default 'here' check (warehouse in ('here', 'leaving', 'away')),
    keep_until timestamptz,
    problem    text,
    changed_at timestamptz not null default clock_timestamp(),
    primary key (table_name, month)
);

-- The manifest: one file for the rows of a month and a school (and a part of 1,000,000 rows).
-- fingerprint: xor of the low eight bytes of the ids; digest: xor of the first eight bytes of each row's MD5.
create table archive_files (
    id          bigint generated always as identity primary key,
    table_name  text not null,
    month       date not null,
    school_id   bigint not null,
    part        int not null,
    path        text not null unique,
    rows        int not null,
    fingerprint numeric(20) not null,
    digest      numeric(20) not null,
    sha256      text not null check (length(sha256) = 64),
    bytes       bigint not null,
    columns     jsonb not null,
    first_at    timestamptz not null,
    last_at     timestamptz not null,
    cluster     text not null,
    written_at  timestamptz not null default clock_timestamp(),
    unique (table_name, month, school_id, part),
    foreign key (table_name, month) references archive_months
);
create index archive_files_school on archive_files (school_id);

-- Files that the manifest has given up; deleted from the store, then from here.
create table archive_garbage (
    path     text primary key,
    since    timestamptz not null default clock_timestamp()
);

-- Rows that left because a school keeps them no longer: gone from the record at once, from ClickHouse right after.
create table retention_removals (
    id         bigint generated always as identity primary key,
    table_name text not null,
    school_id  bigint not null,
    before     timestamptz not null,
    kept       bigint[] not null default '{}',
    rows       bigint not null,
    state      text not null check (state in ('leaving', 'gone')),
    at         timestamptz not null default clock_timestamp()
);
create index retention_removals_leaving on retention_removals (id) where state = 'leaving';

-- When the work of each hour was last done, and what came of it.
create table housekeeping (
    name    text primary key,
    ran_at  timestamptz not null,
    seconds double precision not null,
    problem text,
    result  jsonb not null default '{}'
);

-- Put on a partition that is being archived: its rows may still be erased, none comes in.
create function refuse_archived() returns trigger language plpgsql as $$
begin
    raise exception 'the month of this row is in the archive' using errcode = 'check_violation',
        hint = 'Bring it back with `eduanalytics archive restore`.';
end $$;
