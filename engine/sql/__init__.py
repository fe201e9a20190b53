"""Logical plan → ClickHouse SQL with slots for literals: built as a tree, verified, written last.

render    the statement: outputs, conditions on measures, order, limit
parts     each part of the plan as a SELECT, all of them combined; `early` aggregates before the joins
fused     several parts that read one fact, read at once; `partials` aggregates in two steps
semijoins conditions on joined cubes, answered before the joins
rolling   a window: states spread over the buckets that they reach; `series` numbers
          the buckets, `overlaps` what weeks and months asked at once have in common
layers    values of coarser grains and windows over the groups
sources   FROM and JOIN, each protected cube behind its row filter; `asked` fills in what depends on the question
filters   conditions; `time` wall time and buckets; `aggregates` leaves; `parameters` bound values
verify    the last look: no protected table without its filter
text      the SQL
"""
