"""Questions over HTTP in Cube's protocol: `routes` → `service` → engine; `shapes` and `meta` make the answers."""
