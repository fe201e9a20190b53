-- Whose data it is: consent and retention of each school, and the log of who saw or changed what.

alter table schools
    add column consent_basis      text not null default 'school_contract'
        check (consent_basis in ('school_contract', 'parental_consent', 'none')),
    add column share_with_network boolean not null default true,
    add column retention_months   int check (retention_months between 1 and 1200);
-- Consent of one person: null, nobody has said yet; false, he (or his parents) objected.
alter table users add column consent boolean;

-- Whether the network's analysts may see a person's rows, by his school's flags and his own word.
create function shared_with_network(school bigint, consent boolean) returns boolean language sql stable as $$
    select coalesce((select s.share_with_network and case s.consent_basis
                         when 'school_contract' then consent is distinct from false
                         when 'parental_consent' then consent is true
                         else false end
                     from schools s where s.id = school), false)
$$;
-- A school's new flags are its people's too: each gets a new version, and so goes to ClickHouse again.
-- The lock waits for accounts that are being made, and lets later ones see the new flags.
create function touch_people() returns trigger language plpgsql as $$
begin
    perform from schools where id = new.id for update;
    update users set version = version where school_id = new.id;
    return null;
end $$;
create trigger consent_reaches_people after update on schools for each row
    when ((old.consent_basis, old.share_with_network) is distinct from (new.consent_basis, new.share_with_network))
    execute function touch_people();
-- What is there already goes to ClickHouse once more, with the new columns.
update schools set version = version;
update users set version = version;

-- Who saw or changed which person's data; `subjects`: the people whose data it was. Append-only and chained:
-- hash = sha256(the hash before || the row as audit_text gives it). A trigger chains, so nothing comes in unchained.
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
    details     jsonb not null default '{}' check (jsonb_typeof(details) = 'object'),
    occurred_at timestamptz not null,
    received_at timestamptz not null default clock_timestamp(),
    hash        bytea not null
);
create index audit_log_window on audit_log (xid, seq);
create index audit_log_school on audit_log (school_id, occurred_at);
create index audit_log_actor on audit_log (actor_id, occurred_at);
create index audit_log_subjects on audit_log using gin (subjects);
create trigger append_only before update or delete on audit_log for each row execute function refuse_change();
create trigger never_emptied before truncate on audit_log for each statement execute function refuse_change();

-- All that a row says, as one text; the same in every time zone.
create function audit_text(entry audit_log) returns text language sql stable as $$
    select jsonb_build_array(
        entry.chain, entry.audit_id, entry.school_id, entry.actor_id, entry.actor_role, entry.action, entry.target,
        entry.subjects, entry.outcome, entry.request_id, entry.details,
        extract(epoch from entry.occurred_at), extract(epoch from entry.received_at))::text
$$;
-- One writer at a time until its transaction ends: a chain number is given in the order of commits, without gaps.
create function chain_audit() returns trigger language plpgsql as $$
declare
    newest record;
begin
    perform pg_advisory_xact_lock(7310602);
    select chain, hash into newest from audit_log order by chain desc limit 1;
    new.chain := coalesce(newest.chain, 0) + 1;
    new.received_at := clock_timestamp();
    new.hash := sha256(coalesce(newest.hash, ''::bytea) || convert_to(audit_text(new), 'UTF8'));
    return new;
end $$;
create trigger chained before insert on audit_log for each row execute function chain_audit();
