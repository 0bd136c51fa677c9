"""From folders of stems to batches: index, read, mix."""
