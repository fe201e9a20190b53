-- What a live quiz may do beyond one question after the other.
select 1;
