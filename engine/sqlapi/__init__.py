"""A SQL text over cubes and views → the JSON of a question; from there on it goes the way of every other question.

reading     the text → one SELECT; places in the text, refusals
sources     FROM: which cubes or which view, by which joins
terms       names, buckets and aggregates → members, as far as the caller may ask for them
columns     SELECT, GROUP BY, ORDER BY, LIMIT → measures, dimensions, order
literals    values as the filters take them
conditions  WHERE and HAVING → filters that choose the same rows, SQL's NULLs included
ranges      bounds of a time → its date range
translation all of it together
"""

from __future__ import annotations

from engine.sqlapi.translation import Translation, translate

__all__ = ["Translation", "translate"]
