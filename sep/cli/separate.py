"""Separates recordings into their instruments.

  python separate.py concerto.flac              -> separated/concerto/{piano,violin}.wav
  python separate.py --out=STEMS recordings/    -> STEMS/<name>/{piano,violin}.wav
  python separate.py --minus=piano song.mp3     -> separated/song/minus_piano.wav
  python separate.py --gains=piano=-6,violin=+3 song.mp3   -> separated/song/remix.wav
  python separate.py --skip_existing 'music/**/*.flac'     resumes after an interruption

Takes files, folders, and patterns in quotes. Files may have 1 to 8 channels and any rate
and length (WAV, FLAC, OGG, MP3, AIFF, ...; M4A and video with the extra `media`). Outputs
have the recording's rate, channels, exact length and tags, and the stems sum to it. They
appear complete or not at all. Recordings are never changed. See docs/separate.md.
"""

import signal
from functools import partial
from pathlib import Path

from absl import flags

from sep import cli
from sep.errors import UserError
from sep.model.names import DEFAULT_MODEL

_MODEL = flags.DEFINE_string(
    "model",
    DEFAULT_MODEL,
    "Name of a bundled model, release file (.safetensors) or training workdir.",
)
_OUT = flags.DEFINE_string("out", "separated", "Folder for the outputs.")
_STEMS = flags.DEFINE_string(
    "stems",
    "",
    "Stems to write, separated by commas; by default all, or with --minus or --gains none.",
)
_MINUS = flags.DEFINE_string(
    "minus", "", "Write one file of the recording without these stems."
)
_GAINS = flags.DEFINE_string(
    "gains", "", "Write a remix with these gains in dB: piano=-6,violin=+3."
)
_START = flags.DEFINE_string(
    "start", "0", "Start of the part to separate, in seconds or as 1:30."
)
_DURATION = flags.DEFINE_string(
    "duration", "", "Length of the part to separate; by default up to the end."
)
_FORMAT = flags.DEFINE_enum(
    "format", "wav", ["wav", "flac", "ogg", "mp3"], "File format of the outputs."
)
_SUBTYPE = flags.DEFINE_enum(
    "subtype",
    "auto",
    ["auto", "FLOAT", "PCM_32", "PCM_24", "PCM_16", "PCM_8"],
    "Sample format of the outputs. auto takes the recording's width, and float if the "
    "recording is float or was lossily coded. If outputs other than FLOAT would clip, "
    "they are made quieter.",
)
_OVERLAP = flags.DEFINE_float(
    "overlap",
    None,
    "Share of a chunk that is crossfaded with the next; more is slower and smoother.",
    0.0,
    0.95,
)
_SHIFTS = flags.DEFINE_integer(
    "shifts", 1, "Separations with shifted chunks that are averaged.", 1, 100
)
_REFINE = flags.DEFINE_bool(
    "refine", True, "Refine stems with a filter over all channels; --norefine is faster."
)
_PAGE = flags.DEFINE_bool(
    "page", False, "Write a page for listening to each recording's outputs."
)
_SKIP_EXISTING = flags.DEFINE_bool(
    "skip_existing", False, "Skip recordings with complete and unchanged outputs."
)
_JOBS = flags.DEFINE_integer(
    "jobs",
    0,
    "Recordings to separate at once; by default 1, or with ray one per GPU or node.",
    0,
)
_ENGINE = flags.DEFINE_enum(
    "engine",
    "local",
    ["local", "ray"],
    "Run on this machine or on a Ray cluster; ray needs the extra `cluster`.",
)
_ADDRESS = flags.DEFINE_string(
    "address",
    "",
    "Address of a Ray cluster for --engine=ray; by default Ray is started here.",
)
_QUIET = flags.DEFINE_bool("quiet", False, "Print only errors.")
_JSON = flags.DEFINE_bool(
    "json", False, "Print a line of JSON for each recording, and a summary."
)


def run() -> None:
    """Entry point of `separate.py` and sep-separate."""
    cli.launch(main)


def main(argv: list[str]) -> int:
    """Separates the recordings on the command line; returns the exit status.

    Args:
      argv: the command line without flags.

    Raises:
      UserError: the flags are inconsistent, there are no recordings, the model cannot be
        used, or an output would replace a recording.
    """
    from sep.separation.outputs import parse_gains, parse_names, parse_seconds

    if len(argv) < 2 or "" in argv:
        raise UserError("no recording given; name files or folders, or see --help")
    if _QUIET.value and _JSON.value:
        raise UserError("--quiet and --json exclude each other; choose one")
    if _ADDRESS.value and _ENGINE.value != "ray":
        raise UserError("--address needs --engine=ray")
    outputs = (
        parse_names(_STEMS.value), parse_names(_MINUS.value), parse_gains(_GAINS.value)
    )  # fmt: skip
    start = parse_seconds(_START.value)
    duration = parse_seconds(_DURATION.value) if _DURATION.value else float("inf")
    if not duration:
        raise UserError("--duration must be more than 0")

    cli.return_memory()

    # These imports are slow, and come after the flags are checked. The last imports JAX.
    from sep.audio import Excerpt
    from sep.separation.recordings import plan_tasks, refuse_overwriting

    tasks = plan_tasks(argv[1:], Path(_OUT.value))

    from sep.cli.reporting import REPORTERS
    from sep.separation.engines import ENGINES, cluster
    from sep.separation.jobs import Request, files_of

    request = Request(
        _MODEL.value, _OVERLAP.value, _SHIFTS.value, _REFINE.value, *outputs, _FORMAT.value,
        _SUBTYPE.value, Excerpt(start, duration), _PAGE.value, _SKIP_EXISTING.value,
    )  # fmt: skip
    refuse_overwriting(tasks, files_of(request))
    engine = ENGINES[_ENGINE.value]
    if _ADDRESS.value:
        engine = partial(cluster.run, address=_ADDRESS.value)
    signal.signal(signal.SIGTERM, cli.leave)  # removes files that are not complete
    mode = "quiet" if _QUIET.value else "json" if _JSON.value else "text"
    with REPORTERS[mode](tasks, request.excerpt) as reporter:
        for number, outcome in engine(request, tasks, _JOBS.value, reporter.progress):
            reporter.add(number, outcome)
    return reporter.exit_status
