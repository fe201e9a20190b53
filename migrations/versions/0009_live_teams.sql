-- In which team of the room's rules (0, 1, ...) a pupil plays; null in a room without teams.
alter table live_people add column team smallint check (team >= 0);
