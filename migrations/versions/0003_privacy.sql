-- Whose data it is: consent and retention of each school, and the log of who saw or changed what.

alter table schools
    add column consent_basis      text not null default 'school_contract'
        check (consent_basis in ('school_contract', 'parental_consent', 'none')),
    add column share_with_network boolean not null default true,
    add column retention_months   int check (retention_months between 1 and 1200);
-- Consent of one person, where the school's basis is parental consent; null: nobody has said yet.
alter table users add column consent boolean;

-- Append-only and hash-chained: hash = sha256(previous hash || the row). `subjects`: the people whose data it was.
create table audit_log (
    audit_id    uuid not null primary key,
    seq         bigint generated always as identity unique,
    xid         xid8 not null default pg_current_xact_id(),
    chain       bigint not null unique,
    school_id   bigint,
    actor_id    bigint,
    actor_role  text not null,
    action      text not null check (length(action) between 1 and 100),
    target      text check (length(target) <= 300),
    subjects    bigint[] not null default '{}',
    outcome     text not null default 'done' check (outcome in ('done', 'refused')),
    request_id  text check (length(request_id) <= 100),
    details     jsonb not null default '{}',
    occurred_at timestamptz not null,
    received_at timestamptz not null default clock_timestamp(),
    hash        bytea not null
);
create index audit_log_window on audit_log (xid, seq);
create index audit_log_school on audit_log (school_id, occurred_at);
create index audit_log_subjects on audit_log using gin (subjects);
create trigger append_only before update or delete on audit_log for each row execute function refuse_change();
create trigger never_emptied before truncate on audit_log for each statement execute function refuse_change();
