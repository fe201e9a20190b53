"""Reports are saved queries.  definitions (YAML) → parameters → filling → service (engine) → routes (JSON, CSV)."""
