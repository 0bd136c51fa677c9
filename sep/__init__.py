"""Sep separates a recording into its instruments.

A separator is ``synthesise(estimate(analyse(mixture)))``: a representation on both
ends, an architecture in the middle. `docs/design.md` has the plan of the rooms.
"""

__version__ = "0.1.0"
