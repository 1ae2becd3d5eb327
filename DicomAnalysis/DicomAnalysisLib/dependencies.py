"""Packages that a feature needs beyond the core: what is missing, and what to tell the user."""

from __future__ import annotations


def explain_missing_module(name: str) -> str:
    """What to tell a user whose task stopped because a module cannot be imported."""
    return f"The Python package {name!r}, which this task needs, is not installed."
