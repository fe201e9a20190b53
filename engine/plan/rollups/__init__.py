"""Which declared rollup could serve a query, and why the others cannot. None is built: answers come from the tables.

matching  the rules
asked     what the query needs
grains    which buckets are made of which
windows   how far a rolling window reaches
"""
