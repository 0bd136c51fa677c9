"""Makes or mends the SFZ map of a sampled instrument, or measures how one plays.

  python -m sep.data map NOTES/ --out=VIOLIN.sfz      a folder of single notes -> a map
  python -m sep.data map OLD.sfz --out=NEW.sfz        a map -> a better one
  python -m sep.data map ANY.sfz --report             each key's pitch and level

From notes: each file's pitch is measured and compared with the note in its name (A#3, Bb3,
Fs5; a name needs none), its onset is found, its level evened, its deviation tuned. Words
such as v5, piano, mf, forte in the names become velocity layers. A file is left out, with a
line that gives the reason, if it is silent, has no certain pitch, or is another note than
the one in its name.

From a map: each region is played alone. Those that are silent or more than 50 cents off are
left out and their neighbours cover their keys; smaller deviations are tuned. Samples are
not moved: those below the new map's folder are named relative to it.
"""

from pathlib import Path

import numpy as np
from absl import flags
from tqdm import tqdm

from sep import audio, cli
from sep.errors import UserError
from sep.rendering import maps, mending, regions
from sep.rendering.mending import KeyMeasurement
from sep.rendering.regions import Region
from sep.runtime.progress import progress_bar

_OUT = flags.DEFINE_string("out", None, "The map to write, *.sfz.")
_REPORT = flags.DEFINE_boolean("report", False, "Print each key's pitch and level.")
_EVEN = flags.DEFINE_boolean(
    "even", True, "From notes: bring all to one level. Not for a piano with layers."
)
_TUNE = flags.DEFINE_boolean(
    "tune", True, "From notes: tune each to its key. Not for a piano's stretched octaves."
)
_OPCODES = flags.DEFINE_list(
    "opcodes",
    ["ampeg_attack=0.01", "ampeg_release=0.15", "amp_veltrack=40"],
    "From notes: SFZ opcodes for all of them.",
)
_KEYS = flags.DEFINE_list(
    "keys", ["55", "100"], "Lowest and highest MIDI key that --report plays."
)


def run() -> None:
    """Runs the command, as `python -m sep.data` calls it."""
    cli.launch(main)


def main(argv: list[str]) -> None:
    """Makes or mends a map, and reports on it."""
    inputs = [Path(name) for name in argv[1:]]
    out = Path(_OUT.value) if _OUT.value else None
    if not inputs:
        raise UserError("name a folder of notes or an SFZ map; see --help")
    if out is None and not _REPORT.value:
        raise UserError("nothing to do: give --out=MAP.sfz, --report or both")
    if out and out.suffix.lower() != ".sfz":
        raise UserError(f"--out={out}: the name of a map must end in .sfz")
    keys = mending.parse_keys(_KEYS.value, "--keys")
    opcodes = regions.parse_opcodes(_OPCODES.value, "--opcodes")
    given_map = inputs[0] if [i.suffix.lower() for i in inputs] == [".sfz"] else None
    if out and given_map:
        regions.write(out, mended(given_map), f"{given_map.name}, mended by sep.data map")
    elif out:
        made = [opcodes | region for region in from_notes(inputs)]
        regions.write(out, made, "made by sep.data map")
    elif not given_map:
        raise UserError("--report needs one SFZ map, or --out to make one first")
    if _REPORT.value and (playable := out or given_map):
        report(playable, keys)


def from_notes(inputs: list[Path]) -> list[Region]:
    """Returns regions for the notes in folders and files; prints what is left out.

    Raises:
      UserError: there are no sound files, or none can be used.
    """
    paths = [
        p for given in inputs for p in (audio.find(given) if given.is_dir() else [given])
    ]
    if not paths:
        raise UserError(f"{inputs[0]}: no sound files in this folder")
    notes = []
    for path in progress_bar(paths, "measuring", unit="note", delay=1, leave=False):
        note = maps.measure_note(path)
        if isinstance(note, str):
            tqdm.write(f"left out: {note}")
        else:
            notes.append(note)
    made = maps.build(notes, even=_EVEN.value, tune=_TUNE.value)
    print(f"{len(made)} of {len(paths)} notes -> {_OUT.value}")
    return made


def mended(path: Path) -> list[Region]:
    """Returns a map's regions, mended; prints what was changed.

    Raises:
      UserError: the map cannot be read or played, or no region can be used.
    """
    original = regions.read(path)
    progress = progress_bar(original, "playing", unit="region", delay=1, leave=False)
    measurements = [mending.measure_region(region) for region in progress]
    kept, lines = mending.mend(original, measurements)
    print("\n".join([*lines, f"{len(kept)} of {len(original)} regions -> {_OUT.value}"]))
    return kept


def report(path: Path, keys: range) -> None:
    """Prints a line for each key, and a summary.

    Raises:
      UserError: the map cannot be played.
    """
    print(f"{'key':>4} {'cents':>7} {'sure':>5} {'dB':>6}")
    measurements: list[KeyMeasurement] = []
    for key in mending.measure_keys(path, keys):
        measurements.append(key)
        print(f"{key.key:4} {key.cents:+7.1f} {key.certainty:5.2f} {key.level:6.1f}")
    off = np.abs([key.cents for key in measurements])
    spread = np.std([key.level for key in measurements])
    print(
        f"{path}: median {np.median(off):.1f} cents off, worst {off.max():.0f}; "
        f"levels spread by {spread:.1f} dB"
    )
