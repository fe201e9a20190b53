"""What the numbers should be, by plain Python over the rows: csv, dicts and arithmetic, nothing of the product.

world (the rows) ← folders (from CSV) or made_up (with every oddity) → members (what a name means) → evaluate (a query)
→ reports (the three reports, written out by hand).
"""
