"""Amendments over real stores."""
