r"""Trains a separator on a folder of stems.

  python train.py --data=DATA --workdir=RUN

DATA contains train/ and valid/, each with one folder for each source (piano/, violin/) of
sound files of any rate and format. Recordings of different pieces are mixed at random. The
stems of one piece may be in one folder (song/piano.wav, song/violin.wav). Impulse responses
in DATA/rooms/ add reverberation with --config.data.room=0.5.

Written to RUN: metrics.jsonl (one JSON line a step), checkpoints, and model.safetensors,
the best model so far, for separate.py and evaluate.py. The same command resumes an
interrupted run.

  python train.py --data=DATA --workdir=RUN --arch=fnn --representation=waveform
  python train.py --data=DATA --workdir=RUN --config.train.steps=500
  python train.py --data=DATA --workdir=RUN --config.model.sources=cello,harp

All devices of the machine share each batch. With several machines, run this on each:

  python train.py --data=DATA --workdir=RUN \
      --coordinator=HOST:PORT --processes=2 --process=0

where HOST is the machine of process 0, and DATA and RUN are the same folders for all. On
TPU pods, Slurm and Open MPI, --coordinator=auto is enough.

`python -m sep.config` lists every setting with its default, unit, range and meaning.
"""

import contextlib
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags
from ml_collections import config_flags

from sep import cli, config
from sep.errors import UserError
from sep.runtime.files import locked
from sep.runtime.settings import MACHINE, RUN
from sep.training.settings import RunSettings, run_record

if TYPE_CHECKING:
    from sep.data.material import Material

_ARCH = flags.DEFINE_string("arch", None, "Architecture, instead of the config's.")
_REPRESENTATION = flags.DEFINE_string(
    "representation", None, "Representation, instead of the config's."
)
_DATA = flags.DEFINE_string(
    "data", None, "Folder of stems: DATA/{train,valid}/{source}/*.", required=True
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder for the run: log, checkpoints, model.", required=True
)
_TENSORBOARD = flags.DEFINE_bool(
    "tensorboard",
    False,
    "Write scalars, images and sound to WORKDIR/tensorboard; view them with `tensorboard "
    "--logdir WORKDIR`. Needs the extra `tensorboard`.",
)
_PROFILE = flags.DEFINE_bool(
    "profile",
    False,
    "Write a trace of some steps to WORKDIR/profile; view it with `xprof` or "
    "ui.perfetto.dev.",
)
_COORDINATOR = flags.DEFINE_string(
    "coordinator",
    None,
    "HOST:PORT of process 0, if there are several; auto on TPU pods, Slurm and Open MPI.",
)
_PROCESS = flags.DEFINE_integer("process", None, "Number of this process.", lower_bound=0)
_PROCESSES = flags.DEFINE_integer("processes", None, "Number of processes.", lower_bound=1)


def run() -> None:
    """Runs the command, for `train.py` and sep-train."""
    with cli.plain_flag_errors():  # defining the flag already reads the command line
        config_flags.DEFINE_config_file(
            "config",
            config.__file__,
            "File with get_config(); or any setting of it: --config.train.steps=100",
        )
    cli.launch(main)


def main(argv: list[str]) -> None:
    """Trains, once flags are parsed."""
    cli.expect_no_arguments(argv)
    with cli.plain_flag_errors():  # a missing config file is found only here
        settings = chosen_settings()

    # Slow to import, therefore after the flags have been checked.
    from sep.training import devices

    if _COORDINATOR.value:
        devices.connect(_COORDINATOR.value, _PROCESS.value, _PROCESSES.value)
    elif _PROCESS.value is not None or _PROCESSES.value is not None:
        raise UserError("--process and --processes need --coordinator=HOST:PORT")
    with devices.connected():
        train(settings, Path(_WORKDIR.value), is_leader=devices.is_leader())


def train(settings: RunSettings, workdir: Path, *, is_leader: bool) -> None:
    """Checks the settings, reads the stems, trains and prints the result.

    Args:
      settings: of the run.
      workdir: folder of the run.
      is_leader: whether this is the process, of all, that writes files and prints.
    """
    from sep.data.material import check_folders
    from sep.training import tensorboard
    from sep.training.loop import fit
    from sep.training.validate_config import check

    check(settings)  # before any sound is read
    if _TENSORBOARD.value:
        tensorboard.writer_class()
    stop: list[bool] = []
    check_folders(
        Path(_DATA.value),
        settings.model.outputs,
        missing_is_silence=settings.data.missing_is_silence,
    )

    def stop_after_this_step(signum: int, _: Any) -> None:
        stop.append(True)
        signal.signal(signum, signal.SIG_DFL)  # a second signal ends the process at once

    with locked(workdir, "training") if is_leader else contextlib.nullcontext():
        if is_leader:
            claim(workdir, settings)
        material = read(settings, quiet=not is_leader)
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, stop_after_this_step)
        release = fit(
            settings,
            material,
            workdir,
            metadata={"commit": cli.commit()},
            stopped=lambda: bool(stop),
            tensorboard=_TENSORBOARD.value,
            profile=_PROFILE.value,
        )
    if not is_leader:
        return
    if stop and not took_a_step(workdir):
        print("stopped before the first step; repeat the command to start again")
    elif stop:
        print(f"stopped and saved in {workdir}; repeat the command to resume")
    print(f"model: {release}" if release.exists() else "no model before a validation")


def read(settings: RunSettings, *, quiet: bool) -> "Material":
    """Reads stems and impulse responses; prints how many there are unless `quiet`."""
    import jax

    from sep.data.material import read_material

    model, data = settings.model, settings.data
    material = read_material(
        Path(_DATA.value), model.outputs, model.sample_rate, settings.data
    )
    if quiet:
        return material
    for name, found in material.train.solos.items():
        hours = sum(stem.length for stem in found) / model.sample_rate / 3600
        print(f"{name}: {len(found)} recordings, {hours:.2f} hours")
    unused = " (not used: --config.data.room is 0)" if not data.room else ""
    print(f"tracks: {len(material.train.tracks)}, rooms: {len(material.rooms_RL)}{unused}")
    print(
        f"{model.architecture} on {model.representation}, "
        f"{settings.train.steps} steps, on {jax.device_count()} x "
        f"{jax.devices()[0].device_kind}"
    )
    return material


def chosen_settings() -> RunSettings:
    """Returns the settings of the config, changed by --arch and --representation."""
    settings = flags.FLAGS.config
    if _ARCH.value:
        settings.model.architecture = _ARCH.value
    if _REPRESENTATION.value:
        settings.model.representation = _REPRESENTATION.value
    return config.settings_of(settings)


def claim(workdir: Path, settings: RunSettings) -> None:
    """Writes WORKDIR/config.json, or refuses a workdir of another config.

    If no step has been taken in the workdir, any config is accepted. Otherwise the file
    must exist.

    Raises:
      UserError: settings differ with which a run cannot be resumed, or the file cannot be
        read as a config.
    """
    record = run_record(workdir, settings, RUN, MACHINE)
    if took_a_step(workdir):
        found = record.claim(
            "was made with another config",
            "use its settings or another --workdir",
            "the config of the run in this folder",
        )
        if found is None:
            raise UserError(
                f"{record.path}: is missing, though the folder contains a run; use another "
                "--workdir"
            )
    record.write(indent=2)


def took_a_step(workdir: Path) -> bool:
    """Whether a workdir contains results of at least one training step."""
    from sep.model.release import RELEASE
    from sep.training.checkpoints import CHECKPOINTS
    from sep.training.log import METRICS

    log = workdir / METRICS
    logged = log.exists() and log.stat().st_size > 0
    saved = any((workdir / CHECKPOINTS).glob("[0-9]*"))
    return logged or saved or (workdir / RELEASE).exists()
