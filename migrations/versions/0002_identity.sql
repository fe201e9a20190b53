-- Who may come in. Secrets are kept as SHA-256 (they are 128 bits or more of chance) or sealed with the secret key.

-- An analyst belongs to no school; he reads the schools granted to him.
alter table users drop constraint users_role_check;
alter table users add constraint users_role_check
    check (role in ('student', 'teacher', 'admin', 'analyst', 'operator'));
alter table users drop constraint users_check;
alter table users add constraint users_school_check check (school_id is not null or role in ('analyst', 'operator'));
-- email_source: the school vouches for an address that an admin or its provider gave, a person only for what he proves.
-- username: how somebody without an address logs in (no @ in it). one_time_until: the password must be changed at the
-- next log-in, which must happen before then.
alter table users
    add column email_verified_at timestamptz,
    add column email_source      text not null default 'school' check (email_source in ('school', 'person')),
    add column username          text check (username ~ '^[^@[:upper:][:space:]]{3,64}$'),
    add column one_time_until    timestamptz,
    add column language          text check (language in ('en', 'de')),
    add column disabled_at       timestamptz;
create unique index users_username on users (username) where username is not null;
create index users_external on users (school_id, external_id) where external_id is not null;

create table analyst_schools (
    user_id    bigint not null references users,
    school_id  bigint not null references schools,
    granted_at timestamptz not null default now(),
    granted_by bigint references users,
    primary key (user_id, school_id)
);
create index analyst_schools_school on analyst_schools (school_id);

-- A log-in is one family of refresh tokens: the newest, the one before it (good for a moment after a lost answer),
-- and where it was opened.
alter table login_sessions
    add column previous_hash  bytea,
    add column rotated_at     timestamptz,
    add column client         text check (length(client) <= 300),
    add column revoked_reason text,
    add column method         text not null default 'password' check (method in ('password', 'oidc'));

-- What ended before its tokens did; every server reads the new rows at least every two seconds (all of an `xid` that
-- its last snapshot did not see: `seq` is given before the commit, so it has gaps that fill later).
-- kind 'session' and 'token' name one log-in or service token; kind 'user' ends the tokens that have neither (those of
-- the command line) and were issued before `at`.
create table revocations (
    seq        bigint generated always as identity primary key,
    xid        xid8 not null default pg_current_xact_id(),
    kind       text not null check (kind in ('session', 'user', 'token')),
    subject    text not null,
    at         timestamptz not null default clock_timestamp(),
    keep_until timestamptz not null check (isfinite(keep_until))
);
create index revocations_xid on revocations (xid);
create index revocations_keep_until on revocations (keep_until);

-- Signing keys: `next` is published before it signs, `retired` until no token of it is good any more.
create table signing_keys (
    kid        text primary key,
    public     bytea not null,
    sealed     bytea not null,
    state      text not null check (state in ('next', 'current', 'retired')),
    created_at timestamptz not null default now(),
    retired_at timestamptz
);
create unique index signing_keys_current on signing_keys (state) where state in ('next', 'current');

-- A join code (many uses) or an invitation (one address): what it makes of whoever brings it.
create table invitations (
    id           uuid primary key,
    school_id    bigint not null references schools,
    role         text not null check (role in ('student', 'teacher', 'admin')),
    classroom_id bigint references classrooms,
    email        text check (length(email) between 3 and 254),
    code_hash    bytea not null unique,
    created_by   bigint references users,
    created_at   timestamptz not null default now(),
    expires_at   timestamptz not null,
    max_uses     int not null default 1 check (max_uses between 1 and 10000),
    uses         int not null default 0 check (uses <= max_uses),
    revoked_at   timestamptz
);
create index invitations_school on invitations (school_id);

-- A link in a mail: good once, for a while.
create table mail_tokens (
    id         uuid primary key,
    user_id    bigint not null references users,
    purpose    text not null check (purpose in ('reset_password', 'verify_email')),
    email      text not null,
    token_hash bytea not null unique,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at    timestamptz
);
create index mail_tokens_user on mail_tokens (user_id);

-- A mail to write: who and what about, no secret (its token is made when it is sent). A letter that was sent is deleted.
create table letters (
    id            uuid primary key,
    kind          text not null check (kind in
        ('verify_email', 'reset_password', 'welcome', 'invitation', 'password_changed')),
    email         text not null check (length(email) between 3 and 254),
    language      text check (language in ('en', 'de')),
    invitation_id uuid references invitations,
    created_at    timestamptz not null default now(),
    expires_at    timestamptz not null,
    next_try_at   timestamptz not null default now(),
    tries         int not null default 0
);
create unique index letters_once on letters
    (kind, lower(email), coalesce(invitation_id, '00000000-0000-0000-0000-000000000000'));
create index letters_due on letters (next_try_at);

-- A token for a script or an app: a principal of its own with the rights of its maker, or fewer.
create table service_tokens (
    id           uuid primary key,
    user_id      bigint not null references users,
    name         text not null check (length(name) between 1 and 200),
    scopes       text[] not null,
    created_at   timestamptz not null default now(),
    expires_at   timestamptz not null,
    revoked_at   timestamptz
);
create index service_tokens_user on service_tokens (user_id);

-- Accounts of a school's identity provider.
create table external_identities (
    issuer     text not null,
    subject    text not null,
    user_id    bigint not null references users,
    linked_at  timestamptz not null default now(),
    primary key (issuer, subject)
);
create index external_identities_user on external_identities (user_id);
