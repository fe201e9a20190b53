-- What a live quiz may do beyond one question after the other.

-- How the room is played (realtime.protocol.Rules).
alter table live_sessions add column rules jsonb not null default '{}' check (jsonb_typeof(rules) = 'object');

-- When the open question locks by itself (server ms): any node locks what is overdue, also when nobody is in the room.
alter table live_sessions add column closes_at bigint;
create index live_sessions_closing on live_sessions (closes_at) where closes_at is not null;

-- Who has been in a room: the nickname that classmates see, and whether the teacher sent him out.
create table live_people (
    session_id   bigint not null references live_sessions,
    user_id      bigint not null references users,
    nickname     text check (length(nickname) between 1 and 20),
    nickname_key text,
    kicked_at    timestamptz,
    primary key (session_id, user_id)
);
create unique index live_people_nickname on live_people (session_id, nickname_key);
create index live_people_kicked on live_people (session_id) where kicked_at is not null;
create index live_people_user on live_people (user_id);

-- Answers that may still be changed: moved into `responses` when their question locks, set aside when it is dropped
-- or asked anew. Graded when they come; choice, correct and score are those of a response.
create table live_answers (
    session_id    bigint not null references live_sessions,
    question_id   bigint not null references questions,
    run           int not null check (run > 0),
    student_id    bigint not null references users,
    choice        text check (length(choice) <= 4000),
    correct       boolean,
    score         double precision check (score between 0 and 1),
    time_spent_ms int check (time_spent_ms >= 0),
    submitted_at  timestamptz not null,
    client_id     text check (length(client_id) <= 200),
    changes       int not null default 0,
    set_aside_at  timestamptz,
    primary key (session_id, question_id, run, student_id)
);
create index live_answers_waiting on live_answers (session_id, question_id, run) where set_aside_at is null;
create index live_answers_student on live_answers (student_id);

-- Self-paced rooms: which question a pupil was given when. A pupil's newest row is his turn.
create table live_turns (
    session_id  bigint not null references live_sessions,
    student_id  bigint not null references users,
    position    int not null,
    question_id bigint not null references questions,
    opens_at    bigint not null,
    closes_at   bigint,
    primary key (session_id, student_id, position)
);
create index live_turns_student on live_turns (student_id);
