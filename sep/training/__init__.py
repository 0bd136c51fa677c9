"""Training: from stems to a model."""
