"""What every part stands on; knows no school and no quiz.

settings → clock, ids, errors → postgres (the record), warehouse (ClickHouse), tables (its schema)
→ embedded (both stores started by us in one data folder) → telemetry.
"""
