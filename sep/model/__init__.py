"""Models: from a mixture to its sources, and the files they are kept in."""
