"""The doors: HTTP routes and the command line; the only package that knows all the others.

request → middleware (id, limits, headers, metrics) → deps (who is it, may he) → a feature's routes → service → store
→ envelope.  `app.py` joins the parts; `cli/` is a client of the same routes.
"""
