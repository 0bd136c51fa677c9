"""Separation of recordings into stems."""
