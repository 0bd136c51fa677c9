"""--engine=ray: a stand-in for Ray in this process, and a cluster that loses a node."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from small_model import save_small_model
from sounds import files_in, noise, save

from sep.errors import UserError
from sep.separation.engines import cluster
from sep.separation.engines.cluster import RETRIES
from sep.separation.jobs import DONE, FAILED, Outcome, Request
from sep.separation.recordings import Task

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RECORDINGS = 30


class Lost(Exception):
    """Stands for Ray's errors."""


class FakeRay:
    """The part of Ray that Sep uses, in this process. Calls run when they are awaited."""

    exceptions = SimpleNamespace(RayError=Lost)

    def __init__(self, gpus=0, error=None):
        self.gpus, self.error, self.actors, self.running = gpus, error, 0, False

    def init(self, address, **options):
        if self.error:
            raise self.error
        self.running = True

    def shutdown(self):
        self.running = False

    def cluster_resources(self):
        return {"CPU": 2.0} | ({"GPU": float(self.gpus)} if self.gpus else {})

    def nodes(self):
        return [{"Alive": True}, {"Alive": True}, {"Alive": False}]

    def remote(self, **options):
        def actor_class(kind):
            def start(*args):
                actor = kind(*args)
                self.actors += 1
                remote = lambda task: lambda: actor.separate(task)  # noqa: E731
                return SimpleNamespace(separate=SimpleNamespace(remote=remote))

            return SimpleNamespace(remote=start)

        return actor_class

    def wait(self, calls):
        return [calls[0]], calls[1:]

    def get(self, call):
        return call()


def run(monkeypatch, ray, request=None, tasks=(), jobs=0, address=""):
    """Outcomes by number of the task, and the calls of `progress`."""
    monkeypatch.setitem(sys.modules, "ray", ray)
    calls = []
    outcomes = cluster.run(
        request or Request(), list(tasks), jobs, lambda *call: calls.append(call), address
    )
    return dict(outcomes), calls


@pytest.mark.parametrize(
    ("gpus", "jobs", "actors"), [(0, 0, 2), (0, 1, 1), (0, 9, 3), (1, 0, 1), (1, 9, 1)]
)
def test_there_is_an_actor_per_gpu_or_node(
    tmp_path, monkeypatch, model, shared_models, gpus, jobs, actors
):
    monkeypatch.chdir(tmp_path)
    tasks = []
    for name in "abc":
        save(Path(f"{name}.wav"), noise(800))
        tasks.append(Task(Path(f"{name}.wav"), Path(name)))
    ray = FakeRay(gpus)
    outcomes, calls = run(monkeypatch, ray, Request(str(model)), tasks, jobs)
    assert [outcomes[n].status for n in range(3)] == 3 * [DONE], outcomes
    assert [outcomes[n].task for n in range(3)] == tasks
    assert sorted(calls) == [(0, 0.1), (1, 0.1), (2, 0.1)]
    assert ray.actors == actors and not ray.running
    assert "a/piano.wav" in files_in(tmp_path)


def separate_with_losses(monkeypatch, losses):
    """Outcomes of recordings whose actors are lost so often, and the number of actors."""
    left = dict(losses)

    class Actor:
        def __init__(self, request):
            pass

        def separate(self, task):
            name = task.recording.stem
            left[name] -= 1
            if left[name] >= 0:
                raise Lost(f"{name} died")
            return Outcome(task, DONE, "")

    monkeypatch.setattr(cluster, "_Actor", Actor)
    tasks = [Task(Path(f"{name}.wav"), Path(name)) for name in losses]
    ray = FakeRay()
    outcomes, _ = run(monkeypatch, ray, Request(), tasks)
    return [outcomes[number] for number in range(len(tasks))], ray.actors


def test_lost_recordings_are_retried_a_limited_number_of_times(monkeypatch):
    losses = {"a": 0, "b": RETRIES, "c": 10**9, "d": 0}
    outcomes, actors = separate_with_losses(monkeypatch, losses)
    assert [outcome.status for outcome in outcomes] == [DONE, DONE, FAILED, DONE]
    assert outcomes[2].task.recording == Path("c.wav")
    assert "c.wav: its process or node was lost 4 times (c died)" in outcomes[2].error
    assert actors == 2 + RETRIES + RETRIES + 1  # every lost actor was replaced


def test_without_ray_the_error_names_the_command_that_installs_it(monkeypatch):
    with pytest.raises(UserError, match=r"--engine=ray: .* pip install '.\[cluster\]'"):
        run(monkeypatch, None)


def test_a_cluster_that_does_not_exist_is_reported(monkeypatch):
    with pytest.raises(UserError, match="--address=127.0.0.1:9: no Ray cluster"):
        run(monkeypatch, FakeRay(), address="127.0.0.1:9")
    error = ConnectionError("no\nsession")
    with pytest.raises(UserError, match=r"--address=auto: no Ray .*\(no session\)"):
        run(monkeypatch, FakeRay(error=error), address="auto")


def run_json(folder, *command):
    """Exit status of a command, and the lines of JSON that it prints, the summary last."""
    done = subprocess.run(
        [sys.executable, *command, "--model=small.safetensors", "--json", "in"], cwd=folder,
        env=os.environ | {"JAX_PLATFORMS": "cpu"}, capture_output=True, encoding="utf-8",
        timeout=250,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def stems(out):
    return {path.relative_to(out): path.read_bytes() for path in out.rglob("*.wav")}


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="Ray is not installed")
def test_a_killed_node_changes_nothing_in_the_results(tmp_path):
    save_small_model(tmp_path / "small.safetensors")
    for number in range(RECORDINGS):
        wave_TC = noise(40_000 + 3000 * number, 2)
        save(tmp_path / "in" / f"{number:02}.wav", wave_TC, 22050)
    separate = ROOT / "separate.py"
    status, _ = run_json(tmp_path, separate, "--out=local")
    assert status == 0
    status, (*lines, last) = run_json(
        tmp_path, HERE / "two_nodes.py", "10", "--out=cluster"
    )
    assert status == 0
    assert sorted(line["recording"] for line in lines) == sorted(
        f"in/{path.name}" for path in (tmp_path / "in").iterdir()
    )
    assert {line["status"] for line in lines} == {"done"}
    assert last["summary"]["done"] == RECORDINGS
    assert stems(tmp_path / "cluster") == stems(tmp_path / "local")
    assert not [p for p in (tmp_path / "cluster").rglob("*") if p.name.startswith(".")]
    # A local run accepts the records of the cluster.
    (tmp_path / "cluster" / "07" / "violin.wav").unlink()
    status, lines = run_json(tmp_path, separate, "--out=cluster", "--skip_existing")
    assert lines[-1]["summary"]["skipped"] == RECORDINGS - 1
