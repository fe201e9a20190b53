"""Bound query → logical plan: which rows, at which grain, over which joins, and what is computed over the groups.

builder   the parts of one grain: each fact alone, never multiplied by a join
terms     measures taken apart: leaves, stages, fixed values, windows, formulas
scopes    which rows a measure counts: conditions, moved time, windows
grain     by what a stage groups
joins     the tree of cubes that a part reads
nodes     the plan as data
rollups   which declared rollup could serve a query, and why the others cannot
"""
