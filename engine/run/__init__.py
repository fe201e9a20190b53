"""SQL → rows: `engine` joins the steps, `executor` runs a statement once for all who ask, `cache` keeps what is still
fresh, `limits` bounds what a query may take, `result` and `annotation` give the rows Cube's form."""
