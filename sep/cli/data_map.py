"""Makes or mends the SFZ map of a sampled instrument, or tells how one sounds.

  python -m sep.data map NOTES/ --out=VIOLIN.sfz      a folder of single notes -> a map
  python -m sep.data map OLD.sfz --out=NEW.sfz        a map -> a better one
  python -m sep.data map ANY.sfz --report             each key's pitch and level

From notes: each file's pitch is measured and held against the note in its name (A#3,
Bb3, Fs5; none is needed), its onset found, its level evened, its deviation tuned. Words
such as v5, piano, mf, forte in the names become velocity layers. A file that is silent, of
no sure pitch, or another note than its name says is left out, with a line that says so.

From a map: every region is played by itself. Those that are silent or more than 50 cents
off are left out and their neighbours take over; smaller deviations are tuned. Samples
stay where they are: below the new map's folder they are named relative to it.
"""

from pathlib import Path

from absl import flags

from sep import cli
from sep.errors import UserError

_OUT = flags.DEFINE_string("out", None, "The map to write, *.sfz.")
_REPORT = flags.DEFINE_boolean("report", False, "Print how each key sounds.")
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
    "keys", ["55", "100"], "MIDI keys, from and to, that --report plays."
)


def run() -> None:
    """The command, as `python -m sep.data` calls it."""
    cli.launch(main)


def main(argv: list[str]) -> None:
    """What the command does once its flags are parsed."""
    inputs = [Path(name) for name in argv[1:]]
    out = Path(_OUT.value) if _OUT.value else None
    if not inputs:
        raise UserError("name a folder of notes or an SFZ map; see --help")
    if out is None and not _REPORT.value:
        raise UserError("nothing to do: give --out=MAP.sfz, --report or both")
    if out and out.suffix.lower() != ".sfz":
        raise UserError(f"--out={out}: the name of a map ends in .sfz")
    keys, opcodes = chosen_keys(), chosen_opcodes()

    # Slow imports, after the flags have been checked.
    from sep.rendering import regions

    a_map = inputs[0] if [i.suffix.lower() for i in inputs] == [".sfz"] else None
    if out and a_map:
        regions.write(out, mended(a_map), f"{a_map.name}, mended by sep.data map")
    elif out:
        made = [opcodes | region for region in mapped(inputs)]
        regions.write(out, made, "made by sep.data map")
    elif not a_map:
        raise UserError("--report wants one SFZ map, or --out to make one first")
    if _REPORT.value:
        report(out or a_map, keys)


def chosen_keys() -> range:
    """The keys that --keys names."""
    try:
        low, high = map(int, _KEYS.value)
    except ValueError:
        low, high = 1, 0
    if not 0 <= low <= high <= 127:
        raise UserError("--keys wants two MIDI keys from 0 to 127, such as --keys=55,100")
    return range(low, high + 1)


def chosen_opcodes() -> dict[str, str]:
    """What --opcodes names."""
    pairs = [text.partition("=") for text in _OPCODES.value]
    if wrong := [name for name, _, value in pairs if not (name and value)]:
        raise UserError(f"--opcodes: {wrong[0] or '='} has no value; write opcode=value")
    return {name.strip(): value.strip() for name, _, value in pairs}


def mapped(inputs: list[Path]):
    """Regions for the notes of folders and files."""
    from tqdm import tqdm

    from sep import audio
    from sep.rendering import maps
    from sep.runtime.progress import progress_bar

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


def mended(path: Path):
    """A map's regions, the faulty ones left out."""
    from sep.rendering import mending, regions
    from sep.runtime.progress import progress_bar

    given = regions.read(path)
    progress = progress_bar(given, "playing", unit="region", delay=1, leave=False)
    kept, lines = mending.mend(given, [mending.sound_of(region) for region in progress])
    print("\n".join([*lines, f"{len(kept)} of {len(given)} regions -> {_OUT.value}"]))
    return kept


def report(path: Path, keys: range) -> None:
    """Prints a line a key, and the middle of them."""
    import numpy as np

    from sep.rendering import mending

    print(f"{'key':>4} {'cents':>7} {'sure':>5} {'dB':>6}")
    sounds = []
    for sound in mending.listen(path, keys):
        sounds.append(sound)
        print(
            f"{sound.key:4} {sound.cents:+7.1f} {sound.certainty:5.2f} {sound.level:6.1f}"
        )
    off = np.abs([sound.cents for sound in sounds])
    spread = np.std([sound.level for sound in sounds])
    print(
        f"{path}: median {np.median(off):.1f} cents off, worst {off.max():.0f}; "
        f"levels spread by {spread:.1f} dB"
    )
