"""Separation: from recordings to stems."""
