"""Bound query → logical plan: which rows, at which grain, over which joins, and what is computed over the groups.

builder   the plan of one grain
terms     measures taken apart: leaves, formulas; `stages` those of several stages, `scopes` which rows they count
parts     each fact alone, never multiplied by a join; `joins` the tree of cubes that a part reads
computed  dimensions that come from a query of their own; `switches` those of fixed values, beside which rows repeat
grain     by what a stage groups
nodes     the plan as data
rollups   which declared rollup could serve a query, and why the others cannot
"""
