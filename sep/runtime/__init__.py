"""Files, caches, processes and progress."""
