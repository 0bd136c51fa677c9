"""Trains a separator on stems."""
