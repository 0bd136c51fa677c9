"""A look through a folder of stems before training: what there is, and what is wrong.

Shapes: C channel, T sample.
"""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sep import audio
from sep.data import folders, stems
from sep.errors import UserError
from sep.model.names import MIXTURE

NEEDED = ("train", "valid")  # without which there is no training
_FULL_SCALE = 1 - 2.0**-15  # the largest sample of 16 bits
_HEADINGS = (
    ("split", "source", "files", "hours", "rates (Hz)", "channels")
    + ("RMS (dBFS)", "peak (dBFS)", "silence", "unreadable")
)  # fmt: skip


class Report(NamedTuple):
    """A recording, read once from end to end; or why it cannot be."""

    error: str = ""  # if there is one, the rest says nothing
    format: audio.Format = audio.Format(0, 0)
    length: int = 0  # samples
    power: float = 0.0  # mean square
    peak: float = 0.0
    active: float = 0.0  # share of blocks that are not silent
    clips: int = 0  # runs of samples held at full scale
    digest: str = ""  # of the samples, whatever the file's format

    @property
    def seconds(self) -> float:
        """Its duration."""
        return self.length / self.format.sample_rate


class Summary(NamedTuple):
    """The table's rows, and a line for each thing found."""

    rows: list[tuple[str, ...]]  # see `_HEADINGS`
    errors: list[str]  # training would fail
    warnings: list[str]  # training would leave something out, or scores would mislead
    notes: list[str]


def examine(path: Path) -> Report:
    """Reads a recording in blocks. What is wrong with it is in the report."""
    digest, clips, power, peak = hashlib.blake2b(digest_size=16), 0, 0.0, 0.0
    length, active = 0, []
    try:
        found = audio.probe(path)
        for block_CT in audio.blocks(path):
            length += block_CT.shape[1]
            power += float(np.vdot(block_CT.T, block_CT.T)) / found.channels
            loudest = float(np.abs(block_CT).max())
            peak = max(peak, loudest)
            active.append(stems.activity(block_CT))
            if loudest >= _FULL_SCALE:  # seldom
                clips += clipped_runs(block_CT)
                if loudest > stems.LOUDEST:
                    raise UserError(f"{path}: {stems.TOO_LOUD}")
            digest.update((block_CT.T + np.float32(0)).tobytes())  # -0 is 0
    except UserError as error:
        return Report(error=str(error))
    share = float(np.concatenate(active).mean())
    key = f"{digest.hexdigest()} {found.channels}"
    return Report("", found, length, power / length, peak, share, clips, key)


def clipped_runs(wave_CT: np.ndarray) -> int:
    """How often a channel stays at one value of full scale for three samples or more."""
    held_CT = (np.abs(wave_CT[:, 1:]) >= _FULL_SCALE) & (wave_CT[:, 1:] == wave_CT[:, :-1])
    twice_CT = held_CT[:, 1:] & held_CT[:, :-1]
    return int((twice_CT & ~np.pad(twice_CT, ((0, 0), (1, 0)))[:, :-1]).sum())


def sources_of(data: Path) -> list[str]:
    """The names of the sources in a data set, by how folders and files are called.

    A folder that several splits have is a source, unless its files bear the same names as
    those of many others: it is a track. So are names that several of the other folders
    have a file of. What is left and has sound is a source, too.

    Raises:
      UserError: nothing of this kind is found.
    """
    places = [
        place
        for split in folders.SPLITS
        if os.path.isdir(data / split)
        for place in folders.listed(data / split)
        if os.path.isdir(place) and folders.sounds_in(place)
    ]
    files = {
        place: {path.stem for path in folders.listed(place) if folders.is_sound(path)}
        for place in places
    }
    folders_with = defaultdict(set)
    for place, inside in files.items():
        for name in inside:
            folders_with[name].add(place.name)
    splits_with = Counter(
        place.name
        for place, inside in files.items()
        if not inside or any(len(folders_with[name]) < 3 for name in inside)
    )
    sources = {name for name, count in splits_with.items() if count > 1}
    names = {place: inside for place, inside in files.items() if place.name not in sources}
    tracks_with = Counter(name for inside in names.values() for name in inside)
    sources |= {
        name
        for name, count in tracks_with.items()
        if (count > 1 or name in sources)
        and name != MIXTURE
        and any(letter.isalpha() for letter in name)
    }
    sources |= {place.name for place, inside in names.items() if not inside & sources}
    if not sources:
        raise UserError(
            f"{data}: no stems found; it needs train/ and valid/, each with "
            "{source}/* or {track}/{source}.*"
        )
    return sorted(sources)


def summarise(
    indices: Mapping[str, folders.Index],
    reports: Mapping[Path, Report],
    *,
    crop_seconds: float,
    missing_is_silence: bool,
) -> Summary:
    """What the reports on the files of each split come to.

    Recordings of fewer than `crop_seconds` are noted: training pads them.
    """
    summary = Summary([], [], [], [])
    for split, index in indices.items():
        fatal = summary.errors if split in NEEDED else summary.warnings
        fatal += folders.faults(index, missing_is_silence)
        if index.others:
            summary.notes.append(folders.ignored(index))
        for source in index.solos:
            files = {path: reports[path] for path in index.files(source)}
            good = [report for report in files.values() if not report.error]
            summary.rows.append(_row(split, source, good, len(files) - len(good)))
            place = index.folder / source
            if files and not good:
                fatal.append(f"{place}: no recording can be read; replace them")
            elif files and not any(report.active for report in good):
                fatal.append(f"{place}: nothing but silence; replace the recordings")
            for path, report in files.items():
                _judge(path, report, crop_seconds, summary)
        for track, files in index.tracks.items():
            known = {name: reports[paths[0]] for name, paths in files.items() if paths}
            seconds = {name: r.seconds for name, r in known.items() if not r.error}
            if seconds and (problem := stems.uneven(track, seconds)):
                summary.warnings.append(problem)
    _compare(indices, reports, summary)
    return summary


def _judge(path: Path, report: Report, crop_seconds: float, summary: Summary) -> None:
    """Adds what is wrong with one recording."""
    if report.error:
        summary.warnings.append(report.error)
        return
    if not report.active:
        summary.warnings.append(f"{path}: is silent")
    if report.clips:
        times = "once" if report.clips == 1 else f"{report.clips} times"
        summary.warnings.append(f"{path}: is clipped {times}; record or export it lower")
    if report.seconds < crop_seconds:
        summary.notes.append(
            f"{path}: is shorter ({report.seconds:.2f} s) than the excerpts that training "
            f"takes ({crop_seconds:g} s), and would be padded with silence"
        )


def _compare(indices, reports, summary: Summary) -> None:
    """Adds what is there more than once. What is silent is like all that is silent."""
    places = defaultdict(list)  # digest: (split, path)
    for split, index in indices.items():
        for path in dict.fromkeys(p for source in index.solos for p in index.files(source)):
            if reports[path].active:
                places[reports[path].digest].append((split, path))
    for (split, path), *others in places.values():
        for other_split, other in others:
            if other_split == split:
                summary.notes.append(f"{other}: has the same sound as {path}")
            else:
                summary.warnings.append(
                    f"{other}: has the same sound as {path}, so {other_split} tests what "
                    f"{split} has; take one of them away"
                )


def _row(split: str, source: str, good: list[Report], unreadable: int) -> tuple[str, ...]:
    seconds = sum(report.seconds for report in good)
    counts = [str(len(good) + unreadable), f"{seconds / 3600:.2f}"]
    if not good:
        return (split, source, *counts, *("-",) * 5, str(unreadable))

    def mean(values: list[float]) -> float:
        return float(np.average(values, weights=[report.seconds for report in good]))

    return (
        (split, source, *counts)
        + tuple(
            "/".join(map(str, sorted({report.format[i] for report in good})))
            for i in (0, 1)
        )
        + (
            _decibels(mean([report.power for report in good]) ** 0.5),
            _decibels(max(report.peak for report in good)),
            f"{100 * (1 - mean([report.active for report in good])):.0f} %",
            str(unreadable),
        )
    )


def _decibels(amplitude: float) -> str:
    return f"{20 * np.log10(amplitude):.1f}" if amplitude else "-inf"


def table(summary: Summary) -> str:
    """The rows as text."""
    lines = [_HEADINGS, *summary.rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
