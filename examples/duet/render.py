r"""Play scores on sampled instruments: one stem per instrument, and their sum.

A score is a melody with piano: a song (the violin takes the voice line), a sonata.
Instruments are SFZ maps, played by pysfizz. A folder of maps is one instrument, its
maps the articulations; another one is chosen for each phrase. Instruments, place in
the score, timing, dynamics, pedal, vibrato, tuning and room are drawn anew for each
piece, from its name and the seed: the same command makes the same files, and goes on
where an interrupted one stopped.

A training set:

  python render.py --scores=SCORES/ --piano=A.sfz,B.sfz --violin=C.sfz,STRINGS/ \
      --rirs=ROOMS/ --out=stems/train --pieces=150 --layout=solos

Needs: pip install -e '.[render]'
"""

import functools
import itertools
import os
import pathlib
import tempfile
import warnings
import zlib

import numpy as np
import partitura
import pysfizz
import scipy.signal
import soundfile
import soxr
import tqdm
from absl import app, flags

_SCORES = flags.DEFINE_list("scores", None, "MusicXML or MIDI files, or folders.")
_PIANO = flags.DEFINE_list("piano", None, "SFZ maps; name one twice to hear it twice.")
_VIOLIN = flags.DEFINE_list("violin", None, "SFZ maps, or folders of articulations.")
_RIRS = flags.DEFINE_list("rirs", [], "Impulse responses, or folders; none: no room.")
_OUT = flags.DEFINE_string("out", None, "Folder to write to.")
_LAYOUT = flags.DEFINE_enum(
    "layout",
    "tracks",
    ["tracks", "solos"],
    "tracks: OUT/<piece>/{mixture,piano,violin}.flac;"
    " solos: OUT/{piano,violin}/<piece>.flac.",
)
_PIECES = flags.DEFINE_integer("pieces", None, "Pieces to make; default: one a score.")
_SECONDS = flags.DEFINE_float("seconds", 40, "Longest piece, in seconds.")
_START = flags.DEFINE_float("start", None, "Second of the score; default: anywhere.")
_SEED = flags.DEFINE_integer("seed", 0, "Another seed, another performance.")
_VARIETY = flags.DEFINE_float(
    "variety",
    0.5,
    "Share of pieces changed for training: transposed, the violin an octave up, in"
    " double stops or fast figures, the sound filtered. 0: all as written.",
)

RATE = 44100
LOWEST, HIGHEST = 55, 100  # the violin: G3 to E7
SCORES = (".mxl", ".musicxml", ".xml", ".mid", ".midi")
SOUNDS = (".flac", ".wav", ".ogg", ".mp3")
NOTE = np.dtype([("onset", "f8"), ("duration", "f8"), ("pitch", "i4")])
ORDER = ["onset", "pitch"]
BRIEF = ("short", "staccato", "spiccato", "pizz")
RARE = ("tasto", "ponticello", "consord", "tremolo", "pizz")


def find(names, suffixes):
    """Files as they are, folders as the files in them."""
    for path in map(pathlib.Path, names):
        inside = sorted(path.rglob("*")) if path.is_dir() else []
        yield from [p for p in inside if p.suffix in suffixes] or [path]


# Score -> notes -> a performance


def read(path):
    """The melody's and the piano's notes, in seconds; None where one is missing."""
    with warnings.catch_warnings(action="ignore"):
        parts = partitura.load_score(str(path)).parts
        options = {"include_staff": True, "include_grace_notes": True}
        tables = [part.note_array(**options) for part in parts]
    tempos = {
        float(part.quarter_map(mark.start.t)): mark.bpm
        for part in parts
        for mark in part.iter_all(partitura.score.Tempo)
    }
    begin, bpm = np.array(sorted(tempos.items()) or [(0, 90)]).T
    quarters = np.r_[-1e3, begin[1:], 1e5]
    seconds = np.r_[0, np.cumsum(np.diff(quarters) * 60 / bpm)]

    def notes(table):
        onset = table["onset_quarter"]
        end = np.interp(onset + table["duration_quarter"], quarters, seconds)
        onset = np.interp(onset, quarters, seconds)
        duration = np.maximum(end - onset, 0.07)  # grace notes have none
        return [*zip(onset, duration, table["pitch"], strict=True)]

    pianos, melodies = [], []
    for part, table in zip(parts, tables, strict=True):
        named = (part.part_name or "").lower().startswith(("pian", "klav"))
        chords = len(table) > 1.3 * len(np.unique(table["onset_div"]))
        if named or chords or max(table["staff"], default=0) > 1:
            pianos += notes(table)
        elif len(table):  # its second voice is a variant, or another singer
            melodies.append(notes(table[table["voice"] == table["voice"].min()]))
    if not pianos or not melodies:
        return None
    melody, piano = np.array(max(melodies, key=len), NOTE), np.array(pianos, NOTE)
    first = min(melody["onset"].min(), piano["onset"].min())
    for part in (melody, piano):
        part["onset"] -= first
    # Both hands may write the same key: strike it once.
    _, once = np.unique(piano[["onset", "pitch"]], return_index=True)
    return np.sort(melody, order=ORDER), np.sort(piano[once], order=ORDER)


def cut(parts, start, seconds):
    """The notes that begin in the window, moved to its beginning."""
    kept = [p[(p["onset"] >= start) & (p["onset"] < start + seconds)] for p in parts]
    for notes in kept:
        notes["onset"] -= start
    return kept


def choose_start(rng, melody, seconds):
    """A random place, of four the one where the melody rests least."""
    onsets = melody["onset"]
    starts = rng.choice(onsets[onsets <= max(onsets[-1] - seconds, onsets[0])], 4)
    sung = [cut([melody], start, seconds)[0]["duration"].sum() for start in starts]
    return starts[np.argmax(sung)] - 0.1


def phrases(notes, longest=14):
    """Slices of notes between rests."""
    rests = notes["onset"][1:] - (notes["onset"] + notes["duration"])[:-1] > 0.2
    cuts = [0, *(np.flatnonzero(rests) + 1), len(notes)]
    for begin, end in itertools.pairwise(cuts):
        for first in range(begin, end, longest):
            yield slice(first, min(first + longest, end))


def drift(rng, time):
    """A slow random curve of about -1 to 1."""
    rate = 2 * np.pi / rng.uniform(4, 15, (3, 1))
    return np.sin(rate * time + rng.uniform(0, 2 * np.pi, (3, 1))).mean(0) * 1.5


def into_range(pitch):
    """Into the violin's range, by octaves."""
    pitch = pitch + 12 * np.ceil(np.maximum(LOWEST - pitch, 0) / 12).astype(int)
    return pitch - 12 * np.ceil(np.maximum(pitch - HIGHEST, 0) / 12).astype(int)


def chord(notes, time):
    """The keys held at a time."""
    held = notes["onset"] <= time + 0.05, notes["onset"] + notes["duration"] > time
    return np.unique(notes["pitch"][held[0] & held[1]])


def figure(rng, melody, piano):
    """What songs have not: fast notes and double stops, on the piano's harmony."""
    kind = rng.choice(["piano", "repeat", "arpeggio", "double stop"])
    if kind == "piano":  # its upper line
        high = piano[piano["pitch"] >= LOWEST]
        top = [high[high["onset"] == onset][-1] for onset in np.unique(high["onset"])]
        return np.array(top, NOTE) if len(top) > len(melody) / 2 else melody
    notes, step = [], 1 / rng.uniform(4, 12)
    for onset, duration, pitch in melody:
        near = into_range(chord(piano, onset))
        if kind == "double stop":
            below = [p for p in near if 3 <= pitch - p <= 12] or [pitch - 9]
            pair = max(below) >= LOWEST and rng.random() < 0.6
            notes += [(onset, duration, p) for p in [pitch, max(below)][: 1 + pair]]
        else:
            tones = [pitch, *near[::-1]] if kind == "arpeggio" else [pitch]
            count = max(1, round(duration / step))
            part = duration / count
            for i in range(count):
                notes.append((onset + i * part, part, tones[i % len(tones)]))
    return np.sort(np.array(notes, NOTE), order=ORDER)


def perform(rng, parts, seconds, varied):
    """Human timing on both parts; `varied`: another key, register and figuration."""
    melody, piano = parts
    for phrase in phrases(melody):  # as a whole, or the line would break
        melody["pitch"][phrase] += 12 * (melody["pitch"][phrase].min() < LOWEST)
    tempo = 1
    if varied:
        for notes, shift in zip(parts, [rng.integers(-5, 8)] * 2, strict=True):
            notes["pitch"] += shift
        melody["pitch"] += 12 * (rng.random() < 0.4)
        melody = figure(rng, melody, piano) if rng.random() < 0.7 else melody
        tempo = rng.uniform(0.85, 1.2)
    melody["pitch"] = into_range(melody["pitch"])
    grid = np.arange(0, seconds * 2, 0.05)
    pace = tempo * (1 + rng.uniform(0.02, 0.07) * drift(rng, grid))
    played = np.cumsum(0.05 / pace)
    for notes in (melody, piano):
        end = np.interp(notes["onset"] + notes["duration"], grid, played)
        jitter = rng.normal(0, rng.uniform(0.004, 0.01), len(notes)).clip(-0.025, 0.025)
        notes["onset"] = (np.interp(notes["onset"], grid, played) + jitter).clip(0)
        notes["duration"] = (end - notes["onset"]).clip(0.04)
    return [notes[notes["onset"] < seconds] for notes in (melody, piano)]


# Notes -> sound


def load(path):
    """A synthesiser with all of a map's samples in memory.

    Loaded while playing, sfizz's default, notes whose sample comes late are lost. A map
    asks for memory itself; so a wrapper does, in a folder that looks like the map's.
    """
    path = pathlib.Path(path).resolve()
    synth = pysfizz.Synth(RATE, 1024)
    with tempfile.TemporaryDirectory() as folder:
        wrapper = pathlib.Path(folder, "in memory.sfz")
        for item in path.parent.iterdir():
            wrapper.with_name(item.name).symlink_to(item)
        wrapper.write_text(f'<control> hint_ram_based=1\n#include "{path.name}"\n')
        if not synth.load_sfz_file(wrapper):
            raise ValueError(f"{path}: no usable SFZ map")
    return synth


def play(path, notes, velocity, controls, seconds):
    """One map's sound. Controls: (second, 'bend' in cents or a CC number, value)."""
    synth = load(path)
    core = synth._synth  # pysfizz offers single notes only; its core plays anything
    core.set_sample_quality(2)  # the default is three times slower
    events = [(int(t * RATE), 1, kind, value) for t, kind, value in controls]
    again = {}  # when a key is struck next: a later release would end that note
    for i in np.argsort(notes["onset"])[::-1]:
        onset, duration, pitch = notes[i]
        end = min(onset + duration, again.get(pitch, np.inf))
        again[pitch] = onset
        events.append((int(onset * RATE), 2, int(pitch), int(velocity[i])))
        events.append((int(end * RATE), 0, int(pitch), 0))
    events.sort(key=lambda event: event[:2])  # at one time: off, controls, on
    blocks, events = [], iter([*events, (np.inf, 0, 0, 0)])
    event = next(events)
    for begin in range(0, int(seconds * RATE), 1024):
        while event[0] < begin + 1024:
            time, order, what, value = event
            if order == 2:
                core.note_on(time - begin, what, value)
            elif order == 0:
                core.note_off(time - begin, what, 0)
            elif what == "bend":  # SFZ's default range is two semitones
                core.pitch_wheel(time - begin, int(np.clip(value / 200, -1, 1) * 8191))
            else:
                core.cc(time - begin, what, int(value))
            event = next(events)
        blocks.append(np.stack(core.render_block(), 1))
    return np.concatenate(blocks)[: int(seconds * RATE)].astype(np.float64)


@functools.cache
def measure(path):
    """How long a map holds a note (many samples end after a second), and how loud."""
    lengths, levels = [], []
    for pitch in (58, 67, 76, 84):
        wave = play(path, np.array([(0, 5, pitch)], NOTE), [90], [], 5)[:, 0]
        level = np.sqrt(np.mean(wave.reshape(-1, RATE // 20) ** 2, axis=1))
        lengths.append((np.flatnonzero(level >= level.max() / 8)[-1] + 1) / 20)
        levels.append(level.max())
    return np.clip(np.median(lengths), 0.2, 4), np.median(levels)


def play_piano(rng, path, notes, seconds, tuning):
    """Phrased dynamics, the melody above its chords, and the pedal."""
    swell = rng.uniform(5, 18) * drift(rng, notes["onset"])
    melody = 8 * np.array([n["pitch"] >= chord(notes, n["onset"]).max() for n in notes])
    velocity = rng.uniform(50, 80) + swell + melody + rng.normal(0, 5, len(notes))
    controls = [(0, "bend", tuning)]
    if rng.random() < 0.85:  # a new pedal with the bass, caught after the hammer
        gap, time = rng.uniform(0.4, 1.2), -9
        for onset in notes["onset"][notes["pitch"] < 57]:
            if onset - time > gap:
                time = onset
                controls += [(time, 64, 0), (time + rng.uniform(0.06, 0.15), 64, 127)]
    return play(path, notes, velocity.clip(15, 120), controls, seconds)


def choose_articulation(rng, maps, short):
    """Mostly sustained maps; brief ones where the notes are short."""
    weights = []
    for path in maps:
        kind = path.stem.split("_")[-1]
        weight = (1 if short else 0.02) if kind in BRIEF else 1
        weights.append(weight * (0.2 if kind in RARE else 1))
    return maps[rng.choice(len(maps), p=np.array(weights) / sum(weights))]


def play_violin(rng, maps, notes, seconds, tuning):
    """Each phrase with its articulation and bowing, each note with its vibrato."""
    time = np.arange(0, seconds, 0.01)
    bend = np.full(len(time), tuning)
    expression = 92 + rng.uniform(8, 22) * drift(rng, time)
    depths = 0, rng.uniform(4, 15), rng.uniform(12, 32)
    vibrato = rng.choice(depths, p=(0.1, 0.4, 0.5))
    scoop = rng.choice([0, rng.uniform(10, 40)], p=[0.6, 0.4])
    strokes = {path: [] for path in maps}
    for phrase in phrases(notes):
        line = notes[phrase]
        path = choose_articulation(rng, maps, np.median(line["duration"]) < 0.3)
        longest = 9 if path.stem.endswith(BRIEF) else measure(path)[0]
        legato, gap = rng.random() < 0.65, rng.uniform(0.5, 0.9)
        overlap = rng.uniform(0.02, 0.06)
        for onset, duration, pitch in line:
            held = duration + overlap if legato else max(duration * gap, 0.06)
            bows = int(np.ceil(held / longest))  # a long note takes several
            for i in range(bows):
                stroke = (onset + i * held / bows, held / bows + 0.04, pitch)
                strokes[path].append((stroke, np.clip(rng.normal(80, 14), 30, 120)))
            here = slice(*np.searchsorted(time, [onset, onset + held]))
            since = time[here] - onset
            begin, rate = rng.uniform(0.08, 0.35), rng.uniform(4.8, 6.8)
            depth = vibrato * rng.uniform(0.6, 1.2) * np.clip(since / begin - 0.5, 0, 1)
            bend[here] = tuning + rng.normal(0, 4) - scoop * np.exp(-since / 0.04)
            bend[here] += depth * np.sin(2 * np.pi * rate * since)
            if held > 0.5:  # long notes swell
                expression[here] += rng.uniform(0, 25) * np.sin(np.pi * since / held)
    controls = [*zip(time, ["bend"] * len(time), bend, strict=True)]
    controls += zip(time, [11] * len(time), expression.clip(35, 127), strict=True)
    total = np.zeros((int(seconds * RATE), 2))
    for path, played in strokes.items():
        if played:
            line, velocity = zip(*played, strict=True)
            wave = play(path, np.array([*line], NOTE), velocity, controls, seconds)
            total += wave / measure(path)[1]
    return total


def room(rng, wave, path, wet):
    """Adds the response of a room, wider than the microphone heard it."""
    response, rate = soundfile.read(path, always_2d=True)
    response = soxr.resample(response[:, 0], rate, RATE)
    spectrum = np.fft.rfft(response, 2 * len(response))
    echo = np.empty_like(wave)
    for channel in range(2):  # a wandering phase of its own
        phase = np.cumsum(rng.normal(0, 0.25, len(spectrum)))
        side = np.fft.irfft(spectrum * np.exp(1j * phase))
        echo[:, channel] = scipy.signal.fftconvolve(wave[:, channel], side)[: len(wave)]
    return wave + wet * wave.std() / (echo.std() + 1e-9) * echo


def equalise(rng, wave):
    """A random gentle equaliser, sometimes with the treble cut off."""
    spectrum = np.fft.rfft(wave, axis=0)
    frequency = np.fft.rfftfreq(len(wave), 1 / RATE).clip(20)
    knots = np.log(np.geomspace(60, 16000, 6))
    gain_db = np.interp(np.log(frequency), knots, rng.normal(0, 2.5, 6))
    if rng.random() < 0.4:
        gain_db -= 10 * np.log10(1 + (frequency / rng.uniform(5000, 16000)) ** 8)
    return np.fft.irfft(spectrum * 10 ** (gain_db[:, None] / 20), len(wave), axis=0)


def render(rng, parts, pianos, violins, rirs, seconds, variety, start):
    """Stems of one piece, 16-bit: {'piano': [time, channel], 'violin': ...}."""
    varied = rng.random() < variety
    start = choose_start(rng, parts[0], seconds) if start is None else start
    melody, piano = perform(rng, cut(parts, start, 1.3 * seconds), seconds, varied)
    ends = [n["onset"] + n["duration"] for n in (melody, piano)]
    seconds = min(seconds, max(np.concatenate(ends), default=0) + 1)
    tuning = rng.uniform(-15, 15)  # the piano's; the violin is near it
    maps = [*find([rng.choice(violins)], [".sfz"])]
    stems = {
        "piano": play_piano(rng, rng.choice(pianos), piano, seconds, tuning),
        "violin": play_violin(rng, maps, melody, seconds, tuning + rng.uniform(-6, 6)),
    }
    stems["violin"] *= np.sqrt(1 + rng.uniform(-0.35, 0.35) * np.array([1, -1]))  # pan
    wet, apart = rng.uniform(0.1, 0.6), rng.random() < 0.4
    place = rng.integers(len(rirs)) if rirs else None
    for name, wave in stems.items():
        wave = wave * 10 ** (varied * rng.uniform(-3, 3) / 20) / (wave.std() + 1e-9)
        if rirs:
            place = rng.integers(len(rirs)) if apart else place
            wave = room(rng, wave, rirs[place], wet)
        wave = equalise(rng, wave) if varied else wave
        wave[:100] *= np.linspace(0, 1, 100)[:, None]
        wave[-RATE // 4 :] *= np.linspace(1, 0, RATE // 4)[:, None]
        stems[name] = wave
    loudest = max(abs(wave).max() for wave in stems.values())
    scale = min(10 ** (-3 / 20) / loudest, 0.99 / abs(sum(stems.values())).max())
    return {k: np.round(wave * scale * 32767).astype("i2") for k, wave in stems.items()}


def write(path, wave):
    """Whole or not at all: a half-written file never bears the final name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.part")
    soundfile.write(unfinished, wave, RATE, "PCM_16", format="FLAC")
    os.replace(unfinished, path)


def make(score, name, rirs):
    """Renders a piece unless it is there; otherwise says why it cannot."""
    out, stems = pathlib.Path(_OUT.value), ["piano", "violin", "mixture"]
    if _LAYOUT.value == "solos":
        paths = {stem: out / stem / f"{name}.flac" for stem in stems[:2]}
    else:
        paths = {stem: out / name / f"{stem}.flac" for stem in stems}
    if all(path.exists() for path in paths.values()):
        return None
    parts = read(score)
    if parts is None:
        return "no melody with piano"
    waves = render(
        np.random.default_rng([_SEED.value, zlib.crc32(name.encode())]),
        parts,
        _PIANO.value,
        _VIOLIN.value,
        rirs,
        _SECONDS.value,
        _VARIETY.value,
        _START.value,
    )
    for stem, wave in waves.items():
        if wave.std() < 30:
            return f"the {stem} is silent"
    waves["mixture"] = waves["piano"] + waves["violin"]  # the files sum exactly
    for stem, path in paths.items():
        write(path, waves[stem])
    return None


def main(_):
    """Goes through the scores, again and again if there are fewer than pieces."""
    scores = [*find(_SCORES.value, SCORES)]
    np.random.default_rng(_SEED.value).shuffle(scores)
    rirs = [*find(_RIRS.value, SOUNDS)]
    wanted, done = _PIECES.value or len(scores), 0
    with tqdm.tqdm(total=wanted, unit="piece") as bar:
        for turn, score in itertools.product(range(wanted), scores):
            if done == wanted or (turn and not done):
                break
            name = f"{score.stem}-{turn + 1}" if turn else score.stem
            trouble = make(score, name, rirs)
            if trouble:
                bar.write(f"{score}: skipped: {trouble}")
            else:
                done += 1
                bar.update()


if __name__ == "__main__":
    flags.mark_flags_as_required(["scores", "piano", "violin", "out"])
    app.run(main)
