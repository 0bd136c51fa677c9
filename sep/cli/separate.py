"""Separates recordings into their instruments.

  python separate.py concerto.flac              -> separated/concerto/{piano,violin}.wav
  python separate.py --out=STEMS recordings/    -> STEMS/<name>/{piano,violin}.wav
  python separate.py --minus=piano song.mp3     -> separated/song/minus_piano.wav
  python separate.py --gains=piano=-6,violin=+3 song.mp3   -> separated/song/remix.wav
  python separate.py --skip_existing 'music/**/*.flac'     goes on where it stopped

Files of 1 to 8 channels and any rate and length (WAV, FLAC, OGG, MP3, AIFF, ...; M4A and
video with the extra `media`), folders of them, or patterns in quotes. Outputs have the
recording's rate, channels, exact length and tags, and the stems add up to it. They appear
whole or not at all; recordings are only read. docs/separate.md has the details.
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
    "A bundled model, a release file (.safetensors) or a training workdir.",
)
_OUT = flags.DEFINE_string("out", "separated", "Folder for the outputs.")
_STEMS = flags.DEFINE_string(
    "stems", "", "Stems to write, with commas; all, unless --minus or --gains ask for less."
)
_MINUS = flags.DEFINE_string("minus", "", "Write everything but these stems, in one file.")
_GAINS = flags.DEFINE_string(
    "gains",
    "",
    "Write a remix, with these stems louder or softer: piano=-6,violin=+3 (dB).",
)
_START = flags.DEFINE_string("start", "0", "Where to begin: seconds, or 1:30.")
_DURATION = flags.DEFINE_string(
    "duration", "", "How much to separate; to the end if empty."
)
_FORMAT = flags.DEFINE_enum(
    "format", "wav", ["wav", "flac", "ogg", "mp3"], "Of the outputs."
)
_SUBTYPE = flags.DEFINE_enum(
    "subtype",
    "auto",
    ["auto", "FLOAT", "PCM_32", "PCM_24", "PCM_16", "PCM_8"],
    "Sample format of the outputs; auto is the recording's own width, and float for one "
    "that is float or was coded with loss. All but FLOAT are turned down if they would "
    "clip.",
)
_OVERLAP = flags.DEFINE_float(
    "overlap", None, "Share of a chunk that fades into the next; more is slower, smoother.",
    0.0, 0.95,
)  # fmt: skip
_SHIFTS = flags.DEFINE_integer(
    "shifts", 1, "Separate so many times with shifted chunks, and average.", 1, 100
)
_REFINE = flags.DEFINE_bool(
    "refine", True, "Refine stems by a filter over all channels; --norefine is faster."
)
_PAGE = flags.DEFINE_bool(
    "page", False, "Write a page to listen to each recording's outputs."
)
_SKIP_EXISTING = flags.DEFINE_bool(
    "skip_existing", False, "Skip recordings whose outputs are complete and unchanged."
)
_JOBS = flags.DEFINE_integer(
    "jobs",
    0,
    "How many recordings at once; by default 1, or with ray one for each GPU or node.",
    0,
)
_ENGINE = flags.DEFINE_enum(
    "engine", "local", ["local", "ray"], "Where to run; ray needs the extra `cluster`."
)
_ADDRESS = flags.DEFINE_string(
    "address", "", "Of a Ray cluster, for --engine=ray; by default Ray is started here."
)
_QUIET = flags.DEFINE_bool("quiet", False, "Say nothing but errors.")
_JSON = flags.DEFINE_bool(
    "json", False, "A line of JSON for each recording, then a summary."
)


def run() -> None:
    """The command, as `separate.py` and sep-separate call it."""
    cli.launch(main)


def main(argv: list[str]) -> int:
    """What the command does once its flags are parsed."""
    from sep.separation.outputs import parse_gains, parse_names, parse_seconds

    if len(argv) < 2 or "" in argv:
        raise UserError("no recording given; name files or folders, or see --help")
    if _QUIET.value and _JSON.value:
        raise UserError("--quiet and --json: choose one")
    if _ADDRESS.value and _ENGINE.value != "ray":
        raise UserError("--address is for --engine=ray")
    wishes = parse_names(_STEMS.value), parse_names(_MINUS.value), parse_gains(_GAINS.value)
    start = parse_seconds(_START.value)
    duration = parse_seconds(_DURATION.value) if _DURATION.value else float("inf")
    if not duration:
        raise UserError("--duration must be more than 0")

    cli.return_memory()

    # Slower imports, after the flags have been checked; JAX's comes last.
    from sep.audio import Excerpt
    from sep.separation.recordings import plan_tasks, refuse_overwriting

    tasks = plan_tasks(argv[1:], Path(_OUT.value))

    from sep.cli.telling import MODES
    from sep.separation.engines import ENGINES
    from sep.separation.jobs import Request, files_of

    request = Request(
        _MODEL.value, _OVERLAP.value, _SHIFTS.value, _REFINE.value, *wishes, _FORMAT.value,
        _SUBTYPE.value, Excerpt(start, duration), _PAGE.value, _SKIP_EXISTING.value,
    )  # fmt: skip
    refuse_overwriting(tasks, files_of(request))
    engine = ENGINES[_ENGINE.value]
    if _ADDRESS.value:
        engine = partial(engine, address=_ADDRESS.value)
    signal.signal(signal.SIGTERM, cli.leave)  # and no files half written
    mode = "quiet" if _QUIET.value else "json" if _JSON.value else "text"
    with MODES[mode](tasks, request.excerpt) as telling:
        for number, outcome in engine(request, tasks, _JOBS.value, telling.heard):
            telling.done(number, outcome)
    return telling.status
