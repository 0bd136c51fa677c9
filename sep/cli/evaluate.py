"""Scores separators on tracks whose stems are known, next to lower and upper bounds.

  python evaluate.py --data=TEST --out=SCORES
  python evaluate.py --data=A=tests/a,B=tests/b --out=SCORES --model=piano-violin,mine=RUN \
      --estimates=other=STEMS --references=mixture,hpss,ibm,irm,mwf

TEST has one folder for each track, TEST/<track>/{mixture,piano,violin}.wav, or any other
readable format. STEMS is what any tool has made of them: STEMS/<track>/{piano,violin}.wav,
or STEMS/<set>/<track>/ where sets have tracks of one name. Names before = are for the
tables; without, the last part of the path serves.

Written to SCORES:
  results.csv    a row for each track, source, system and metric
  results.json   means or medians with 95 % bootstrap intervals; what was left out
  table.md       the same for people, and how much better than --base the others are
  SET.png        box plots of SI-SDR, if matplotlib is installed (extra `plot`)
  page/          to listen: open page/index.html in a browser

All numbers are dB: SI-SDR, its improvement over the mixture (SI-SDRi), uSDR; BSS Eval's
SDR, ISR, SIR and SAR, medians of windows of 1 s as museval has them; and leakage, what is
heard of a source while it rests. The same command goes on where it was stopped; one more
system costs only its own scores.
"""

import json
import sys
from pathlib import Path

from absl import flags

from sep import cli
from sep.errors import UserError
from sep.model.names import DEFAULT_MODEL
from sep.runtime.files import replacing

_MODEL = flags.DEFINE_list(
    "model",
    [DEFAULT_MODEL],
    "Bundled models, release files (.safetensors) or training workdirs, each maybe with "
    "NAME= before. Empty: none.",
)
_DATA = flags.DEFINE_list(
    "data", None, "Folders of tracks with stems, maybe with NAME= before.", required=True
)
_OUT = flags.DEFINE_string("out", None, "Folder for the results.", required=True)
_ESTIMATES = flags.DEFINE_list("estimates", [], "Stems of other tools: NAME=DIR.")
_REFERENCES = flags.DEFINE_list(
    "references", ["mixture"], "Bounds: mixture, hpss, nmf, ibm, irm, mwf, psm, cirm."
)
_NMF = flags.DEFINE_string("nmf", None, "What python -m sep.cli.nmf has learned.")
_ORACLE_N_FFT = flags.DEFINE_integer(
    "oracle_n_fft",
    4096,
    "Samples (at 44.1 kHz) of a frame of ibm, irm, mwf, psm, cirm; four times a hop.",
)
flags.register_validator(
    "oracle_n_fft", lambda n: n > 0 and n % 4 == 0, "must be a positive multiple of 4"
)
_SOURCES = flags.DEFINE_list(
    "sources", [], "Sources to score; default: the first model's, or a track's."
)
_BASE = flags.DEFINE_string(
    "base", None, "System that others are compared with; default: the first model."
)
_PAGE_TRACKS = flags.DEFINE_integer(
    "page_tracks", 4, "Tracks of each set on the listening page; 0: no page.", 0
)
_NOTE = flags.DEFINE_string("note", "", "What the listening page says besides.")

BESIDE = ("si_sdr", "sdr", "sir", "sar")  # scores on the page; more would not fit


def run() -> None:
    """The command, as `evaluate.py` and sep-evaluate call it."""
    cli.launch(main)


def main(argv: list[str]) -> int:
    """What the command does once its flags are parsed."""
    cli.expect_no_arguments(argv)
    out = Path(_OUT.value)
    tests = cli.named(_DATA.value, "--data")
    models = cli.named(_MODEL.value, "--model")
    estimates = cli.named(_ESTIMATES.value, "--estimates")

    # Slow imports, after the flags have been checked.
    from sep.evaluation import score, statistics, tables
    from sep.evaluation import tracks as test_sets

    sources = choose_sources(tests, models)
    systems = make_systems(sources, models, estimates)
    names = [system.name for system in systems]
    if not names:
        raise UserError("nothing to score; name a --model, --estimates or --references")
    for name in {score.REFERENCE, test_sets.MIXTURE} & {*models, *estimates}:
        raise UserError(f"{name}: the name is taken; put another NAME= before its path")
    if len(set(names)) < len(names):
        raise UserError(f"systems need different names: {', '.join(names)}")
    base = _BASE.value or next(iter((*models, *estimates, *names)))
    if base not in names:
        raise UserError(f"--base={base}: no such system; there are {', '.join(names)}")
    tracks, kept = [], []
    for test, folder in tests.items():
        found = test_sets.places(test, Path(folder), sources)
        tracks += found
        kept += found[: _PAGE_TRACKS.value]
    rows, errors = score.evaluate(tracks, systems, out, kept)
    if not rows:
        raise UserError(f"nothing could be scored: {errors[0]}")
    summaries = statistics.summaries(rows)
    better = statistics.differences(rows, base, "si_sdr")
    tables.write_csv(out / "results.csv", rows, score.Row._fields)
    text = f"{tables.overview(summaries)}\n{tables.scores(summaries)}"
    if better:
        text += f"\nSI-SDR in dB, on the same tracks:\n\n{tables.differences(better, base)}"
    for name, content in (
        ("table.md", text),
        ("results.json", as_json(summaries, better, base, errors)),
    ):
        with replacing(out / name) as part:
            part.write_text(content, encoding="utf-8", errors="replace")
    print(text)
    print(f"every track: {out / 'results.csv'}")
    for error in errors:
        print(f"left out: {error}", file=sys.stderr)
    draw(out, tests, rows)
    if path := write_page(out, kept, names, rows):
        print(f"to listen: {path}")
    if errors:
        raise UserError(f"{len(errors)} scores left out; the first: {errors[0]}")
    return 0


def choose_sources(tests: dict[str, str], models: dict[str, str]) -> tuple[str, ...]:
    """What is scored: what was asked for, or what the first model, or a track, has."""
    from sep.evaluation import systems, tracks
    from sep.model.names import RESIDUAL

    if asked := _SOURCES.value:
        if len(set(asked)) < len(asked):
            raise UserError("--sources wants different names, as in piano,violin")
        return tuple(asked)
    for model in models.values():
        return tuple(s for s in systems.outputs_of_model(model) if s != RESIDUAL)
    if found := tracks.sources_of(Path(next(iter(tests.values())))):
        return found
    raise UserError("no sources are known; name them with --sources")


def make_systems(sources: tuple[str, ...], models: dict, estimates: dict) -> list:
    """All that is scored: from the lower bound over models to the upper bounds."""
    from sep.evaluation import references, systems
    from sep.evaluation.references.spectra import Transform

    transform = Transform(_ORACLE_N_FFT.value, _ORACLE_N_FFT.value // 4)
    learned = Path(_NMF.value) if _NMF.value else None
    settings = references.Settings(transform, learned)
    bounds = {
        name: systems.of_reference(name, sources, settings) for name in _REFERENCES.value
    }
    lower = [name for name in bounds if name in references.LOWER]
    upper = [name for name in bounds if name not in references.LOWER]
    return [
        *(bounds[name] for name in lower),
        *(systems.of_folder(n, Path(d), sources) for n, d in estimates.items()),
        *(systems.of_model(n, path, sources) for n, path in models.items()),
        *(bounds[name] for name in upper),
    ]


def draw(out: Path, tests: dict[str, str], rows) -> None:
    """Box plots of every test set."""
    from sep.evaluation import plots

    try:
        for test in tests:
            if any(row.test == test for row in rows):
                plots.boxes(out / f"{test}.png", rows, test)
    except plots.MissingError as error:
        print(f"no box plots: {error}")


def as_json(summaries, better, base: str, errors: list[str]) -> str:
    """results.json."""
    import sep
    from sep.evaluation.score import plain
    from sep.evaluation.statistics import MEDIANS

    def row(summary) -> dict:
        return {
            key: plain(value) if isinstance(value, float) else value
            for key, value in summary._asdict().items()
        }

    facts = {
        "sep": sep.__version__,
        "over_tracks": {"median": sorted(MEDIANS), "mean": "all others"},
        "summaries": [row(summary) for summary in summaries],
        "better_in_si_sdr_than": {base: [row(summary) for summary in better]},
        "left_out": errors,
    }
    return json.dumps(facts, indent=1) + "\n"


def write_page(out: Path, kept, systems: list[str], rows) -> Path | None:
    """The listening page of the tracks whose sounds were kept, if there are any."""
    from sep.evaluation import score, tables
    from sep.listening_page import page

    tracks = []
    for title, lines in score.heard(kept, systems, rows, out):
        shown = [
            page.Line(*line, {tables.LABELS[m]: found[m] for m in BESIDE if m in found})
            for *line, found in lines
        ]
        tracks.append(page.Track(title, shown))
    if not tracks:
        return None
    note = f"Scores are in dB; higher is better. {_NOTE.value}".strip()
    return page.write_page(out / "page", "Separations compared", tracks, note)
