"""A study of which nothing is trained, and rows of results."""

from sep.evaluation.statistics import ALL
from sep.runtime.settings import changed
from sep.study.plan import Budget, Study
from sep.training.settings import RunSettings

RATE = 8000


def study_in(folder, rates=(1e-3,)):
    """A study in a folder, with a test set A in its subfolder "test"."""
    run = changed(RunSettings(), {"model.level_free": False})
    tests = {"A": folder / "test"}
    return Study(folder, run, Budget(5, None), folder / "data", tests, rates, 0.1)


def row(representation, architecture, value, *, seed=0, test="A", source=ALL):
    """A row of results.csv with a score of `value`."""
    facts = dict.fromkeys(("parameters", "gflop_a_second", "steps", "audio_hours"), 1.0)
    facts |= dict.fromkeys(("training_seconds", "times_real_time", "peak_memory_mb"), 60.0)
    names = {"representation": representation, "architecture": architecture, "seed": seed}
    scores = {"si_sdr": value, "si_sdri": value + 1, "sir": value + 2}
    where = {"learning_rate": 1e-3, "test": test, "source": source}
    return names | facts | where | scores
