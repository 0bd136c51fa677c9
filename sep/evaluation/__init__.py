"""Evaluation: from tracks whose sources are known to scores."""
