"""A person's data: what there is of him, and who beyond his school may see it.

people     every table that knows a person, and how his rows are found; a test holds it against the schema
archive    all of it as a ZIP of JSON and CSV, a piece at a time
grants     which schools an analyst reads
erasures   what would go, who asked, how far it is (the work itself is ingestion/amendments); certificate: as a page
holds      legal holds
routes     POST /api/v1/users/{id}/export, /api/v1/users/{id}/schools
erasure_routes   /api/v1/users/{id}/erasure, /api/v1/erasures, /api/v1/holds
"""
