"""Files, caches, processes and progress bars."""
