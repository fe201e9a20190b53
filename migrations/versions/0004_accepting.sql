-- What comes in: custom types of events, dead letters that are mended and played again.

-- A type of event that a school has made up: a dotted name (lab.experiment_started), and the JSON Schema of its
-- metadata. A version once registered never changes; deprecated: what happened later is refused.
create table event_types (
    id            bigint generated always as identity primary key,
    school_id     bigint not null references schools,
    name          text not null check (name ~ '^[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$' and length(name) <= 100),
    version       smallint not null check (version > 0),
    description   text check (length(description) <= 1000),
    schema        jsonb not null check (jsonb_typeof(schema) = 'object'),
    by_students   boolean not null default true,
    created_by    bigint references users,
    created_at    timestamptz not null default now(),
    deprecated_at timestamptz,
    unique (school_id, name, version)
);

-- code: the reason up to its colon. user_id: whom it is about, sender_id: who sent it, as far as these are known.
-- event_id: the event or answer that stands in the record and that this one contradicts.
-- A letter is never changed into something else: `payload` is what came, `fixed` what somebody made of it.
alter table dead_letters
    add column code        text generated always as (split_part(reason, ':', 1)) stored,
    add column kind        text not null default 'event' check (kind in ('event', 'response')),
    add column field       text,
    add column user_id     bigint,
    add column sender_id   bigint,
    add column sender_role text,
    add column event_id    uuid,
    add column fixed       jsonb,
    add column fixed_by    bigint,
    add column fixed_at    timestamptz,
    add column replays     int not null default 0,
    add column replayed_by bigint,
    add column replayed_at timestamptz,
    add column outcome     jsonb,
    add column state       text not null default 'open' check (state in ('open', 'settled'));
create index dead_letters_school on dead_letters (school_id, id);
create index dead_letters_open on dead_letters (stage, code) where state = 'open';
create index dead_letters_user on dead_letters (user_id);
create index dead_letters_received on dead_letters (received_at);
