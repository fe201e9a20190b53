-- What is changed afterwards: erasure, legal holds, regrading.  See ingestion/amendments/__init__.py.

-- The queue. `subject`: the person's or the question's number; `work`: what the next step needs; `result`: what was done,
-- with its SHA-256. No names anywhere.
create table amendments (
    id             bigint generated always as identity primary key,
    kind           text not null check (kind in ('erasure', 'regrade')),
    subject        bigint not null,
    school_id      bigint,
    state          text not null default 'waiting'
        check (state in ('waiting', 'held', 'sending', 'settling', 'done', 'failed')),
    asked_by       bigint,
    asked_role     text not null,
    asked_at       timestamptz not null default clock_timestamp(),
    settle_seconds int not null default 180 check (settle_seconds between 0 and 86400),
    details        jsonb not null default '{}' check (jsonb_typeof(details) = 'object'),
    work           jsonb not null default '{}' check (jsonb_typeof(work) = 'object'),
    settle_until   timestamptz,
    applied_at     timestamptz,
    finished_at    timestamptz,
    result         jsonb,
    hash           bytea
);
create unique index amendments_one_erasure on amendments (subject)
    where kind = 'erasure' and state not in ('done', 'failed');
create index amendments_open on amendments (id) where state not in ('done', 'failed');
create index amendments_subject on amendments (kind, subject);

-- Legal hold: nothing of this person, or of this school, is erased or dropped until it is released.
create table holds (
    id          bigint generated always as identity primary key,
    school_id   bigint references schools,
    user_id     bigint,
    reason      text not null check (length(reason) between 1 and 500),
    set_by      bigint,
    set_at      timestamptz not null default clock_timestamp(),
    released_by bigint,
    released_at timestamptz,
    check (school_id is not null or user_id is not null)
);
create index holds_open on holds (school_id, user_id) where released_at is null;

-- Who was erased, by number; the account's moment tells him from a later owner of the number. ClickHouse keeps the same
-- list, so that a record restored from a backup erases him again.
create table erased_people (
    user_id    bigint not null,
    created_at timestamptz not null,
    school_id  bigint,
    erased_at  timestamptz not null default clock_timestamp(),
    primary key (user_id, created_at)
);

-- The keys that a question had.
create table key_changes (
    id          bigint generated always as identity primary key,
    question_id bigint not null references questions,
    quiz_id     bigint not null references quizzes,
    changed_by  bigint,
    changed_at  timestamptz not null default clock_timestamp(),
    old_key     text,
    new_key     text,
    reason      text check (length(reason) <= 500),
    amendment   bigint not null references amendments
);
create index key_changes_question on key_changes (question_id);

-- An answer is changed by a regrade only, and then nothing but its mark.
create function refuse_change_but_mark() returns trigger language plpgsql as $$
begin
    if current_setting('eduanalytics.amending', true) = 'regrade'
       and to_jsonb(old) - '{correct,score}'::text[] = to_jsonb(new) - '{correct,score}'::text[] then
        return new;
    end if;
    raise exception '% is append-only', tg_table_name using errcode = 'restrict_violation';
end $$;
drop trigger append_only on responses;
create trigger append_only before update on responses for each row execute function refuse_change_but_mark();

-- The answers of a session: their ids begin with the milliseconds of its opening.
create function first_of(opened_at timestamptz) returns uuid language sql immutable as $$
    select rpad(lpad(to_hex(floor(extract(epoch from opened_at) * 1000)::bigint), 12, '0'), 32, '0')::uuid
$$;
create function last_of(opened_at timestamptz) returns uuid language sql immutable as $$
    select rpad(lpad(to_hex(floor(extract(epoch from opened_at) * 1000)::bigint + 1), 12, '0'), 32, '0')::uuid
$$;
