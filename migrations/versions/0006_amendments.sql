-- What is changed afterwards: erasure, legal holds, regrading.
select 1;
