r"""Trains a separator on a folder of stems.

  python train.py --data=DATA --workdir=RUN

DATA holds train/ and valid/, each with one folder a source (piano/, violin/) of sound
files of any rate and format. Pieces need not belong together: they are mixed at random.
Those that do may lie in a folder of their own (song/piano.wav, song/violin.wav). Impulse
responses in DATA/rooms/ are rooms in which training plays with --config.data.room=0.5.
RUN gets metrics.jsonl (one JSON line a step), checkpoints, and model.safetensors, the
best model so far, to use with separate.py and evaluate.py. Run the same command again
and training goes on where it stopped.

  python train.py --data=DATA --workdir=RUN --arch=fnn --representation=waveform
  python train.py --data=DATA --workdir=RUN --config.train.steps=500
  python train.py --data=DATA --workdir=RUN --config.model.sources=cello,harp

All devices of the machine share each batch. With more machines run this on each:

  python train.py --data=DATA --workdir=RUN \
      --coordinator=HOST:PORT --processes=2 --process=0

where HOST is the machine of process 0, and DATA and RUN are the same folders for all; on
TPU pods, Slurm and Open MPI --coordinator=auto is enough.

`python -m sep.config` lists every setting with its default, unit, range and meaning.
"""

import contextlib
import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags
from ml_collections import config_flags

from sep import cli, config
from sep.errors import UserError
from sep.runtime.files import locked, replacing
from sep.runtime.settings import MACHINE, RUN, as_dict, from_dict
from sep.training.settings import RunSettings, run_differences

if TYPE_CHECKING:
    from sep.data.material import Material

_ARCH = flags.DEFINE_string("arch", None, "Architecture, in place of the config's.")
_REPRESENTATION = flags.DEFINE_string(
    "representation", None, "Representation, in place of the config's."
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
    "Write scalars, pictures and sound to WORKDIR/tensorboard; see them with `tensorboard "
    "--logdir WORKDIR`. Needs the extra of that name.",
)
_PROFILE = flags.DEFINE_bool(
    "profile",
    False,
    "Write a trace of some steps to WORKDIR/profile; see it with `xprof` or "
    "ui.perfetto.dev.",
)
_COORDINATOR = flags.DEFINE_string(
    "coordinator", None, "HOST:PORT of process 0 of many, or auto where the cluster knows."
)
_PROCESS = flags.DEFINE_integer("process", None, "Number of this process.", lower_bound=0)
_PROCESSES = flags.DEFINE_integer("processes", None, "How many there are.", lower_bound=1)


def run() -> None:
    """The command, as `train.py` and sep-train call it."""
    with cli.plain_flag_errors():  # for it reads the command line here already
        config_flags.DEFINE_config_file(
            "config",
            config.__file__,
            "File with get_config(), and any setting of it: --config.train.steps=100",
        )
    cli.launch(main)


def main(argv: list[str]) -> None:
    """What the command does once its flags are parsed."""
    cli.expect_no_arguments(argv)
    with cli.plain_flag_errors():  # a config file that is not there shows only now
        settings = chosen_settings()

    # Slow to import, hence after the flags have been checked.
    from sep.training import devices

    if _COORDINATOR.value:
        devices.connect(_COORDINATOR.value, _PROCESS.value, _PROCESSES.value)
    elif _PROCESS.value is not None or _PROCESSES.value is not None:
        raise UserError("--process and --processes need --coordinator=HOST:PORT")
    with devices.connected():
        train(settings, Path(_WORKDIR.value), leads=devices.leads())


def train(settings: RunSettings, workdir: Path, *, leads: bool) -> None:
    """Checks, reads, trains and says what came of it. Who leads does the writing."""
    from sep.data.material import check_folders
    from sep.training import tensorboard
    from sep.training.loop import fit
    from sep.training.validate_config import check

    check(settings)  # before any sound is read
    if _TENSORBOARD.value:
        tensorboard.writer_class()
    stop = []
    check_folders(
        Path(_DATA.value),
        settings.model.outputs,
        missing_is_silence=settings.data.missing_is_silence,
    )

    def leave(signum, _) -> None:
        stop.append(True)
        signal.signal(signum, signal.SIG_DFL)  # who cannot wait asks twice

    with locked(workdir, "training") if leads else contextlib.nullcontext():
        if leads:
            claim(workdir, settings)
        material = read(settings, quiet=not leads)
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, leave)
        release = fit(
            settings,
            material,
            workdir,
            metadata={"commit": cli.commit()},
            stopped=lambda: bool(stop),
            tensorboard=_TENSORBOARD.value,
            profile=_PROFILE.value,
        )
    if not leads:
        return
    if stop and not took_a_step(workdir):
        print("stopped before the first step; the same command starts again")
    elif stop:
        print(f"stopped and saved in {workdir}; the same command goes on from there")
    print(f"model: {release}" if release.exists() else "no model before a validation")


def read(settings: RunSettings, *, quiet: bool) -> "Material":
    """What there is to train on; says how much of it."""
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
    """The settings of the config, with the shorter flags over it."""
    settings = flags.FLAGS.config
    if _ARCH.value:
        settings.model.architecture = _ARCH.value
    if _REPRESENTATION.value:
        settings.model.representation = _REPRESENTATION.value
    return config.settings_of(settings)


def claim(workdir: Path, settings: RunSettings) -> None:
    """Writes WORKDIR/config.json, or refuses a workdir of another config.

    One in which no step was taken may get any other; where one was, there has to be one.

    Raises:
      UserError: settings differ that may not when a run is resumed, or the file is no
        config.
    """
    path = workdir / "config.json"
    if took_a_step(workdir):
        try:
            before = from_dict(RunSettings, json.loads(path.read_text()))
        except (OSError, ValueError, UserError):
            raise UserError(
                f"{path}: is no config of the run that is there; use another --workdir"
            ) from None
        told = "; ".join(run_differences(before, settings, RUN, MACHINE))
        if told:
            raise UserError(
                f"{workdir}: was made with another config ({told}); "
                "use its settings or another --workdir"
            )
    with replacing(path) as part:
        part.write_text(json.dumps(as_dict(settings), indent=2))


def took_a_step(workdir: Path) -> bool:
    """Whether there is something in it that would be lost, or go on."""
    from sep.model.release import RELEASE
    from sep.training.checkpoints import CHECKPOINTS
    from sep.training.log import METRICS

    log = workdir / METRICS
    logged = log.exists() and log.stat().st_size > 0
    saved = any((workdir / CHECKPOINTS).glob("[0-9]*"))
    return logged or saved or (workdir / RELEASE).exists()
