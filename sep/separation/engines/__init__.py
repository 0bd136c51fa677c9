"""Where recordings are separated: registry of engines.

An engine is called with a `Request`, tasks, how many at once (`jobs`, 0 for as many as
suit), and `tell(number, seconds)`, which hears how far the numbered task is. It yields
(number, outcome) as they are done. Each runs the same `sep.separation.jobs.Worker`.
"""

from sep.separation.engines import cluster, local

ENGINES = {"local": local.run, "ray": cluster.run}
