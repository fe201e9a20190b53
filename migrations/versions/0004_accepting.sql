-- What comes in: custom types of events, dead letters that are mended and played again.
select 1;
