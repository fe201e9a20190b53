-- What has left the record for the archive.
select 1;
