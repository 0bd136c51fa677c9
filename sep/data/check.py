"""Checks a folder of stems before training: table of contents, errors, warnings, notes.

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
from sep.data import folders, rooms, stems
from sep.errors import UserError
from sep.model.names import MIXTURE
from sep.runtime.progress import progress_bar

NEEDED = ("train", "valid")  # splits that training requires
_FULL_SCALE = 1 - 2.0**-15  # the largest sample of 16 bits
_HEADINGS = (
    ("split", "source", "files", "hours", "rates (Hz)", "channels")
    + ("RMS (dBFS)", "peak (dBFS)", "silence", "unreadable")
)  # fmt: skip


class Report(NamedTuple):
    """Measurements of one recording that was read from end to end.

    Attributes:
      error: why it cannot be read; the other fields are then meaningless.
      format: sample rate and channels.
      length: in samples.
      power: mean square of the samples.
      peak: largest magnitude.
      active: share of blocks that are not silent.
      clips: runs of samples held at full scale.
      digest: hash of the samples, independent of the file format.
    """

    error: str = ""
    format: audio.Format = audio.Format(0, 0)
    length: int = 0
    power: float = 0.0
    peak: float = 0.0
    active: float = 0.0
    clips: int = 0
    digest: str = ""

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.length / self.format.sample_rate


class Summary(NamedTuple):
    """Result of a check.

    Attributes:
      rows: cells of the table, in the order of `_HEADINGS`.
      errors: what training would fail on, a line each.
      warnings: what training would skip, or what makes scores misleading.
      notes: everything else of interest.
    """

    rows: list[tuple[str, ...]]
    errors: list[str]
    warnings: list[str]
    notes: list[str]


def check_folder(
    data: Path,
    sources: list[str],
    *,
    sample_rate: int,
    room_seconds: float,
    crop_seconds: float,
    missing_is_silence: bool,
) -> Summary:
    """Reads all splits and rooms of a data set, and summarises what is in them.

    Args:
      data: folder with train/, valid/, perhaps test/ and rooms/.
      sources: names of the sources.
      sample_rate: of training, in Hz.
      room_seconds: length kept of impulse responses.
      crop_seconds: length of a training crop; shorter recordings are noted.
      missing_is_silence: whether a source without a file in a track is silent there.
    """
    indices, missing = {}, []
    for split in folders.SPLITS:
        try:
            if split in NEEDED or (data / split).exists():
                indices[split] = folders.index_of(data / split, sources)
        except UserError as error:
            missing.append(str(error))
    try:
        rooms.load(data / "rooms", sample_rate, room_seconds)
    except UserError as error:
        missing.append(str(error))
    paths = dict.fromkeys(
        path for index in indices.values() for name in sources for path in index.files(name)
    )
    progress = progress_bar(paths, "reading", unit="file", delay=1, leave=False)
    summary = summarise(
        indices,
        {path: examine(path) for path in progress},
        crop_seconds=crop_seconds,
        missing_is_silence=missing_is_silence,
    )
    return summary._replace(errors=missing + summary.errors)


def examine(path: Path) -> Report:
    """Measures a recording, block by block. Errors of reading are put into the report."""
    digest, clips, power, peak = hashlib.blake2b(digest_size=16), 0, 0.0, 0.0
    length = 0
    active: list[np.ndarray] = []
    try:
        found = audio.probe(path)
        for block_CT in audio.blocks(path):
            length += block_CT.shape[1]
            power += float(np.vdot(block_CT.T, block_CT.T)) / found.channels
            loudest = float(np.abs(block_CT).max())
            peak = max(peak, loudest)
            active.append(stems.activity(block_CT))
            if loudest >= _FULL_SCALE:  # rare; counting is slow
                clips += clipped_runs(block_CT)
                if loudest > stems.LOUDEST:
                    raise UserError(f"{path}: {stems.TOO_LOUD}")
            digest.update((block_CT.T + np.float32(0)).tobytes())  # turns -0 into 0
    except UserError as error:
        return Report(error=str(error))
    share = float(np.concatenate(active).mean())
    key = f"{digest.hexdigest()} {found.channels}"
    return Report("", found, length, power / length, peak, share, clips, key)


def clipped_runs(wave_CT: np.ndarray) -> int:
    """Counts runs of three or more equal samples at full scale, over all channels."""
    held_CT = (np.abs(wave_CT[:, 1:]) >= _FULL_SCALE) & (wave_CT[:, 1:] == wave_CT[:, :-1])
    twice_CT = held_CT[:, 1:] & held_CT[:, :-1]
    return int((twice_CT & ~np.pad(twice_CT, ((0, 0), (1, 0)))[:, :-1]).sum())


def sources_of(data: Path) -> list[str]:
    """Guesses the names of a data set's sources from the names of folders and files.

    These are sources:
      - a folder name that several splits have, unless each file in it has the name of
        files in three or more folders: such a folder is a track;
      - a file name that occurs in several of the remaining folders, which are tracks;
      - a remaining folder that contains sound, but none of the sources above.

    Raises:
      UserError: no source is found.
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
    sources = _folders_of_solos(files)
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


def _folders_of_solos(files: Mapping[Path, set[str]]) -> set[str]:
    """Returns the names of folders that several splits have and that are not tracks.

    Args:
      files: names of the sound files directly in each folder, without suffix.
    """
    folders_with = defaultdict(set)
    for place, inside in files.items():
        for name in inside:
            folders_with[name].add(place.name)
    splits_with = Counter(
        place.name
        for place, inside in files.items()
        if not inside or any(len(folders_with[name]) < 3 for name in inside)
    )
    return {name for name, count in splits_with.items() if count > 1}


def summarise(
    indices: Mapping[str, folders.Index],
    reports: Mapping[Path, Report],
    *,
    crop_seconds: float,
    missing_is_silence: bool,
) -> Summary:
    """Summarises the reports on the files of each split.

    Args:
      indices: split -> its index.
      reports: path -> report, for all files of the indices.
      crop_seconds: length of a training crop; shorter recordings are noted.
      missing_is_silence: whether a source without a file in a track is silent there.
    """
    summary = Summary([], [], [], [])
    for split, index in indices.items():
        severe = summary.errors if split in NEEDED else summary.warnings
        severe += folders.faults(index, missing_is_silence)
        if index.others:
            summary.notes.append(folders.ignored(index))
        for source in index.solos:
            files = {path: reports[path] for path in index.files(source)}
            good = [report for report in files.values() if not report.error]
            summary.rows.append(_row(split, source, good, len(files) - len(good)))
            place = index.folder / source
            if files and not good:
                severe.append(f"{place}: no recording can be read; replace them")
            elif files and not any(report.active for report in good):
                severe.append(f"{place}: all recordings are silent; replace them")
            for path, report in files.items():
                _add_recording(path, report, crop_seconds, summary)
        _add_uneven_tracks(index, reports, summary)
    _add_duplicates(indices, reports, summary)
    return summary


def _add_recording(
    path: Path, report: Report, crop_seconds: float, summary: Summary
) -> None:
    """Adds the warnings and notes on one recording."""
    if report.error:
        summary.warnings.append(report.error)
        return
    if not report.active:
        summary.warnings.append(f"{path}: is silent; replace it")
    if report.clips:
        times = "once" if report.clips == 1 else f"{report.clips} times"
        summary.warnings.append(
            f"{path}: is clipped {times}; record or export it at a lower level"
        )
    if report.seconds < crop_seconds:
        summary.notes.append(
            f"{path}: is shorter ({report.seconds:.2f} s) than a training crop "
            f"({crop_seconds:g} s), and is padded with silence"
        )


def _add_uneven_tracks(
    index: folders.Index, reports: Mapping[Path, Report], summary: Summary
) -> None:
    """Adds warnings on tracks whose stems differ in length."""
    for track, files in index.tracks.items():
        known = {name: reports[paths[0]] for name, paths in files.items() if paths}
        seconds = {name: r.seconds for name, r in known.items() if not r.error}
        if seconds and (problem := stems.uneven(track, seconds)):
            summary.warnings.append(problem)


def _add_duplicates(
    indices: Mapping[str, folders.Index], reports: Mapping[Path, Report], summary: Summary
) -> None:
    """Adds recordings with equal samples; silent ones are left out, they are all equal."""
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
                    f"{other}: has the same sound as {path}; remove one of them, or "
                    f"{other_split} is not independent of {split}"
                )


def _row(split: str, source: str, good: list[Report], unreadable: int) -> tuple[str, ...]:
    """Returns the table's row on one source of a split, from the readable recordings."""
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
    """Formats the rows as text with aligned columns."""
    lines = [_HEADINGS, *summary.rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
