"""Writes the listening page: a folder that a browser opens from disk.

    FOLDER/index.html                   sources, systems and scores (page.html.jinja)
    FOLDER/assets/                      scripts and style, the same for every page
    FOLDER/sound/LINE/N.js              segments of sound (sound.py)
    FOLDER/pictures/LINE/LEVEL-N.png    tiles of spectrograms (pictures.py)

docs/page.md describes the player and the reasons for its design.
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
    """One sound of a track: a source as estimated by a system.

    All lines of a system play together, so a system has each source at most once. The
    mixture is a line with `sep.model.names.MIXTURE` as both source and system.

    Attributes:
      source: name of the source: "mixture", "piano", ...
      system: what made the sound: "mixture", "reference", "piano-violin", "IRM", ...
      path: sound file, in any format that `sep.audio` reads.
      scores: values shown beside the line, such as {"SI-SDR": 9.1}; may be empty.
    """

    source: str
    system: str
    path: Path
    scores: dict[str, float]


class PageTrack(NamedTuple):
    """Lines with a common time axis, which play together or one system at a time."""

    title: str
    lines: Sequence[Line]


class _LineEntry(NamedTuple):
    """Data of a line for the template."""

    id: str  # folder name in sound/ and pictures/
    exponent: int  # all samples lie in [-2 ** exponent, 2 ** exponent)
    source: str
    system: str
    path: Path
    scores: dict[str, float]


class _TrackEntry(NamedTuple):
    """Data of a track for the template."""

    title: str
    rate: int  # Hz
    channels: int
    length: int  # samples
    segment: int  # samples per segment of sound
    hop: int  # samples per column of a spectrogram at level 0
    levels: int  # zoom levels of spectrograms
    tile: int  # columns per tile
    pool: int  # columns of a level per column of the next
    systems: list[str]
    first: int  # index of the system selected when the page opens
    sources: list[tuple[str, list[_LineEntry]]]


def write_page(
    folder: Path, title: str, tracks: Iterable[PageTrack], note: str = ""
) -> Path:
    """Writes a page for listening to tracks.

    Sources and systems appear in the order of their first lines. The first system other
    than the mixture is selected when the page opens. Files are read block by block, so
    memory does not depend on their length. The folder appears only when it is complete,
    and replaces an existing page.

    Args:
      folder: where the page is written.
      title: heading of the page.
      tracks: at least one track.
      note: text below the heading.

    Returns:
      Path of the page's `index.html`.

    Raises:
      UserError: a sound file cannot be read, or differs from the first of its track in
        sample rate, channels or length; or the folder contains other files or cannot be
        written.
      ValueError: there are no tracks, a track has no lines, or a system has a source
        more than once.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["score"] = _format_score
    with replacing_folder(folder, _PARTS) as part:
        shutil.copytree(_HERE / "assets", part / "assets")
        entries = [_write_track(part, n, track) for n, track in enumerate(tracks)]
        if not entries:
            raise ValueError("tracks: empty; a page needs at least one track")
        template = environment.get_template("page.html.jinja")
        html = template.render(title=title, note=note, tracks=entries)
        # File names may contain surrogates, which UTF-8 cannot encode.
        (part / "index.html").write_text(html, encoding="utf-8", errors="replace")
    return folder / "index.html"


def _write_track(folder: Path, number: int, track: PageTrack) -> _TrackEntry:
    """Writes sound and pictures of a track; returns its data for the template."""
    _check_lines(track)
    sound_format, extents = _measure(track)
    rate, length = sound_format.sample_rate, extents[0].length
    entries = [
        _LineEntry(f"{number}-{n}", extent.exponent, *line)
        for n, (line, extent) in enumerate(zip(track.lines, extents, strict=True))
    ]
    _write_lines(folder, track.title, entries, rate, length)
    systems = list(dict.fromkeys(line.system for line in track.lines))
    sources = dict.fromkeys(line.source for line in track.lines)
    return _TrackEntry(
        title=track.title,
        rate=rate,
        channels=sound_format.channels,
        length=length,
        segment=sound.segment_length(rate),
        hop=pictures.hop_length(rate),
        levels=pictures.num_levels(length, rate),
        tile=pictures.TILE,
        pool=pictures.POOL,
        systems=systems,
        first=next((n for n, system in enumerate(systems) if system != MIXTURE), 0),
        sources=[
            (source, [entry for entry in entries if entry.source == source])
            for source in sources
        ],
    )


def _check_lines(track: PageTrack) -> None:
    """Raises ValueError without lines, or if a system has a source more than once."""
    if not track.lines:
        raise ValueError(f"{track.title}: no lines; a track needs at least one line")
    counts = Counter((line.source, line.system) for line in track.lines)
    ((source, system), count), *_ = counts.most_common(1)
    if count > 1:
        raise ValueError(
            f"{track.title}: system {system} has source {source} {count} times; "
            "give it each source once"
        )


def _measure(track: PageTrack) -> tuple[audio.Format, list[sound.Extent]]:
    """Returns the common format of a track's lines, and the extent of each.

    Raises:
      UserError: a file cannot be read, or differs in sample rate, channels or length.
    """
    formats = [audio.probe(line.path) for line in track.lines]
    for line, line_format in zip(track.lines, formats, strict=True):
        _require_same(track, line, _describe(*formats[0]), _describe(*line_format))
    extents = [sound.measure(line.path) for line in track.lines]
    for line, extent in zip(track.lines, extents, strict=True):
        _require_same(
            track, line, f"{extents[0].length} samples", f"{extent.length} samples"
        )
    return formats[0], extents


def _require_same(track: PageTrack, line: Line, expected: str, found: str) -> None:
    """Raises UserError if a line differs from the first line of its track."""
    if found != expected:
        raise UserError(
            f"{line.path}: {found}, but {track.lines[0].path} has {expected}; "
            "convert the files of a track to the same sample rate, channels and length"
        )


def _describe(sample_rate: int, channels: int) -> str:
    return f"{channels} channel{'s' * (channels > 1)} at {sample_rate} Hz"


def _write_lines(
    folder: Path, title: str, entries: list[_LineEntry], rate: int, length: int
) -> None:
    """Writes sound and pictures of all lines of a track, with a progress bar."""
    segments = -(-length // sound.segment_length(rate))
    tiles = -(-length // (pictures.TILE * pictures.hop_length(rate)))
    levels = pictures.num_levels(length, rate)
    loudest = max(entry.exponent for entry in entries)
    with progress_bar(
        total=len(entries) * (segments + tiles),
        desc=f"page: {title}",
        unit="part",
        delay=1,
        leave=False,
    ) as bar:
        for entry in entries:
            if _write_sound(folder, entry, rate, bar) != segments:
                raise UserError(f"{entry.path}: changed while it was read; try again")
            _write_pictures(folder, entry, rate, levels, loudest, bar)


def _write_sound(folder: Path, entry: _LineEntry, rate: int, bar: tqdm) -> int:
    """Writes a line's segments; returns their number."""
    target = folder / "sound" / entry.id
    target.mkdir(parents=True)
    scripts = sound.scripts(entry.id, audio.blocks(entry.path), rate, entry.exponent)
    count = 0
    for count, text in enumerate(scripts, 1):
        (target / f"{count - 1}.js").write_text(text, encoding="ascii")
        bar.update()
    return count


def _write_pictures(
    folder: Path, entry: _LineEntry, rate: int, levels: int, loudest: int, bar: tqdm
) -> None:
    """Writes a line's tiles; `loudest` is the highest exponent of the track."""
    target = folder / "pictures" / entry.id
    target.mkdir(parents=True)
    counts: Counter[int] = Counter()
    for level, power_RN in pictures.tiles(audio.blocks(entry.path), rate, levels):
        picture = pictures.png(pictures.shades(power_RN, loudest))
        (target / f"{level}-{counts[level]}.png").write_bytes(picture)
        counts[level] += 1
        if level == 0:
            bar.update()


def _format_score(value: float) -> str:
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}") if math.isfinite(value) else "–"
