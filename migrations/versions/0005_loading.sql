-- The way to ClickHouse: bisected rows, audits, replays.
select 1;
