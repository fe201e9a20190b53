"""YAML → frozen Catalog: document (lines) → schema (keys) → members, views, policies → expand (references) → lint."""

from __future__ import annotations

from engine.model.catalog import Catalog
from engine.model.loader import load_catalog, load_texts

__all__ = ["Catalog", "load_catalog", "load_texts"]
