"""Models: separators, their settings, and the release files that contain them."""
