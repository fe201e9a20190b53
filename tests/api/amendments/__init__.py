"""Erasure, holds and corrected keys through the API."""
