"""The listening page: a folder that opens in a browser, from the disk, to compare by ear.

    FOLDER/index.html        what there is to hear (page.html.jinja)
    FOLDER/assets/           the player: scripts and style, the same for every page
    FOLDER/sound/LINE/N.js   segments of sound (sound.py)
    FOLDER/pictures/LINE/LEVEL-N.png    tiles of spectrograms (pictures.py)

docs/page.md says how the player works, and why so.
"""

import math
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2
from tqdm import tqdm

from sep import audio
from sep.errors import UserError
from sep.listening_page import pictures, sound
from sep.model.names import MIXTURE
from sep.runtime.files import replacing_folder
from sep.runtime.progress import progress_bar

_HERE = Path(__file__).parent
_PARTS = frozenset({"index.html", "assets", "sound", "pictures"})


class Line(NamedTuple):
    """One sound of a track.

    The lines of one system are heard together, so a system has each source once; the
    mixture is one line, source and system both `sep.model.names.MIXTURE`.
    """

    source: str  # "mixture", "piano", ...
    system: str  # who made it: "mixture", "reference", "piano-violin", "IRM", ...
    path: Path  # a sound file, any format that Sep reads
    scores: dict[str, float]  # shown beside it: {"SI-SDR": 9.1}; may be empty


class Track(NamedTuple):
    """What is heard at the same time, or in turn at the same place."""

    title: str
    lines: Sequence[Line]


def write_page(folder: Path, title: str, tracks: Iterable[Track], note: str = "") -> Path:
    """Writes a page to listen to tracks; returns its `folder`/index.html.

    Sources and systems are shown in the order of their first lines, and the first system
    other than the mixture is heard first. Files are read block by block. The folder
    appears whole or not at all; a page that is there already is replaced.

    Raises:
      UserError: a sound file cannot be read, or does not fit the others of its track in
        rate, channels and length; or the folder holds something else, or cannot be
        written.
      ValueError: there are no tracks, a track has no lines, or a system has a source
        twice.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["score"] = _score
    with replacing_folder(folder, _PARTS) as part:
        shutil.copytree(_HERE / "assets", part / "assets")
        written = [_write_track(part, n, track) for n, track in enumerate(tracks)]
        if not written:
            raise ValueError("a page needs a track")
        template = environment.get_template("page.html.jinja")
        html = template.render(title=title, note=note, tracks=written)
        # Names of files may hold bytes that are no text.
        (part / "index.html").write_text(html, encoding="utf-8", errors="replace")
    return folder / "index.html"


def _write_track(folder: Path, number: int, track: Track) -> dict:
    """Writes sound and pictures of a track; returns what the template says of it."""
    if not track.lines:
        raise ValueError(f"{track.title}: a track needs a line")
    (pair, times), *_ = Counter(line[:2] for line in track.lines).most_common(1)
    if times > 1:
        raise ValueError(f"{track.title}: {pair[1]} has {pair[0]} {times} times")
    found, extents = _measure(track)
    rate, length = found.sample_rate, extents[0].length
    segments = -(-length // sound.segment_length(rate))
    tiles = -(-length // (pictures.TILE * pictures.hop_length(rate)))
    levels = pictures.num_levels(length, rate)
    loudest = max(extent.exponent for extent in extents)
    lines = [
        {"id": f"{number}-{n}", "exponent": extent.exponent, **line._asdict()}
        for n, (line, extent) in enumerate(zip(track.lines, extents, strict=True))
    ]
    with progress_bar(
        total=len(lines) * (segments + tiles),
        desc=f"page: {track.title}",
        unit="part",
        delay=1,
        leave=False,
    ) as bar:
        for line in lines:
            if _write_sound(folder, line, rate, bar) != segments:
                raise UserError(f"{line['path']}: changed while it was read; try again")
            _write_pictures(folder, line, rate, levels, loudest, bar)
    systems = list(dict.fromkeys(line.system for line in track.lines))
    sources = dict.fromkeys(line.source for line in track.lines)
    return {
        "title": track.title,
        "rate": rate,
        "channels": found.channels,
        "length": length,
        "segment": sound.segment_length(rate),
        "hop": pictures.hop_length(rate),
        "levels": levels,
        "tile": pictures.TILE,
        "pool": pictures.POOL,
        "systems": systems,
        "first": next((n for n, system in enumerate(systems) if system != MIXTURE), 0),
        "sources": [
            (source, [line for line in lines if line["source"] == source])
            for source in sources
        ],
    }


def _measure(track: Track) -> tuple[audio.Format, list[sound.Extent]]:
    """What all lines of a track are, and each. Raises UserError if one is otherwise."""
    formats = [audio.probe(line.path) for line in track.lines]
    for line, its in zip(track.lines, formats, strict=True):
        _same(track, line, _describe(*formats[0]), _describe(*its))
    extents = [sound.measure(line.path) for line in track.lines]
    for line, its in zip(track.lines, extents, strict=True):
        _same(track, line, f"{extents[0].length} samples", f"{its.length} samples")
    return formats[0], extents


def _same(track: Track, line: Line, wanted: str, found: str) -> None:
    if found != wanted:
        raise UserError(
            f"{line.path}: {found}, but {track.lines[0].path} has {wanted}; "
            "what is compared must have the same rate, channels and length"
        )


def _describe(sample_rate: int, channels: int) -> str:
    return f"{channels} channel{'s' * (channels > 1)} at {sample_rate} Hz"


def _write_sound(folder: Path, line: dict, rate: int, bar: tqdm) -> int:
    """Writes a line's segments; returns how many there are."""
    target = folder / "sound" / line["id"]
    target.mkdir(parents=True)
    texts = sound.scripts(line["id"], audio.blocks(line["path"]), rate, line["exponent"])
    count = 0
    for count, text in enumerate(texts, 1):
        (target / f"{count - 1}.js").write_text(text, encoding="ascii")
        bar.update()
    return count


def _write_pictures(
    folder: Path, line: dict, rate: int, levels: int, loudest: int, bar: tqdm
) -> None:
    """Writes a line's tiles, in colours for a track whose loudest exponent is given."""
    target = folder / "pictures" / line["id"]
    target.mkdir(parents=True)
    counts = Counter()
    for level, power_RN in pictures.tiles(audio.blocks(line["path"]), rate, levels):
        picture = pictures.png(pictures.shades(power_RN, loudest))
        (target / f"{level}-{counts[level]}.png").write_bytes(picture)
        counts[level] += 1
        if level == 0:
            bar.update()


def _score(value: float) -> str:
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}") if math.isfinite(value) else "–"
