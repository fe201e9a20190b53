"""/api/v1/archive: old months, for operators."""
