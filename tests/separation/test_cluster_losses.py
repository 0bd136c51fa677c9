"""What becomes of recordings whose actors are lost, with actors that are lost at will."""

from pathlib import Path
from types import SimpleNamespace

from sep.separation.engines.cluster import RETRIES, _spread
from sep.separation.jobs import DONE, FAILED, Outcome
from sep.separation.recordings import Task


class Lost(Exception):
    """Stands for what Ray raises."""


class Ray:
    """One call after another, in this process."""

    exceptions = SimpleNamespace(RayError=Lost)

    def wait(self, calls):
        return [calls[0]], calls[1:]

    def get(self, call):
        return call()


def spread(losses):
    """Statuses of recordings that lose so many actors; and how many actors there were."""
    left, actors = dict(losses), []

    def separate(task):
        def call():
            name = task.recording.stem
            left[name] -= 1
            if left[name] >= 0:
                raise Lost(f"{name} died")
            return Outcome(task, DONE, "")

        return call

    def actor():
        actors.append(1)
        return SimpleNamespace(separate=SimpleNamespace(remote=separate))

    tasks = [Task(Path(f"{name}.wav"), Path(name)) for name in losses]
    found = dict(_spread(Ray(), actor, tasks, 2))
    return [found[number] for number in range(len(tasks))], len(actors)


def test_a_recording_is_tried_again_but_not_for_ever():
    outcomes, actors = spread({"a": 0, "b": RETRIES, "c": 10**9, "d": 0})
    assert [outcome.status for outcome in outcomes] == [DONE, DONE, FAILED, DONE]
    assert outcomes[2].task.recording == Path("c.wav")
    assert "c.wav: lost 4 times (c died)" in str(outcomes[2])
    assert actors == 2 + RETRIES + RETRIES + 1  # each that was lost has been replaced
