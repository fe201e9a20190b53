"""Random models over random tables, as plain data: what the engine reads as YAML, plain Python works out row by row.

world     cubes, joins, members, tables, views; the YAML
terms     the SQL of members as nested lists: its text, its value
clock     wall time, buckets, intervals
asks      a query's JSON → what it asks
conditions, trees, rows, evaluate     the answer (nested loops); windows, stages for measures over time and over groups
draw_worlds, draw_asks     hypothesis strategies
cases     one model + rows + query in a file; shrinking
Nothing here is shared with the engine.
"""
