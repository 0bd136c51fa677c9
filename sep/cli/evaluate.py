"""Scores separators on tracks with known sources, between lower and upper bounds.

  python evaluate.py --data=TEST --out=SCORES
  python evaluate.py --data=A=tests/a,B=tests/b --out=SCORES --model=piano-violin,mine=RUN \
      --estimates=other=STEMS --references=mixture,hpss,ibm,irm,mwf

TEST has one folder for each track, TEST/<track>/{mixture,piano,violin}.wav, or any other
readable format. STEMS has the stems of another tool: STEMS/<track>/{piano,violin}.wav, or
STEMS/<set>/<track>/ if sets share track names. NAME= sets the name in the tables; the
default is the last part of the path.

Written to SCORES:
  results.csv    a row for each track, source, system and metric
  results.json   means or medians with 95 % bootstrap intervals; what was left out
  table.md       the same as tables, and how much better than --base the others are
  SET.png        box plots of SI-SDR, if matplotlib is installed (extra `plot`)
  page/          the listening page: open page/index.html in a browser

All values are in dB: SI-SDR, its improvement over the mixture (SI-SDRi), uSDR; BSS Eval's
SDR, ISR, SIR and SAR, medians of windows of 1 s as in museval; and leakage, the energy of
an estimate while its source rests. The same command resumes an interrupted evaluation; an
added system costs only its own scores.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from sep import cli
from sep.errors import UserError
from sep.model.names import DEFAULT_MODEL
from sep.runtime.files import replacing

if TYPE_CHECKING:
    from sep.evaluation.score import Row, System
    from sep.evaluation.statistics import ScoreSummary
    from sep.evaluation.tracks import Place

_MODEL = flags.DEFINE_list(
    "model",
    [DEFAULT_MODEL],
    "Bundled models, release files (.safetensors) or training workdirs: PATH or "
    "NAME=PATH. Empty: none.",
)
_DATA = flags.DEFINE_list(
    "data", None, "Test sets, folders of tracks: DIR or NAME=DIR.", required=True
)
_OUT = flags.DEFINE_string("out", None, "Folder for the results.", required=True)
_ESTIMATES = flags.DEFINE_list("estimates", [], "Stems of other tools: NAME=DIR.")
_REFERENCES = flags.DEFINE_list(
    "references", ["mixture"], "Bounds: mixture, hpss, nmf, ibm, irm, mwf, psm, cirm."
)
_NMF = flags.DEFINE_string(
    "nmf", None, "File of dictionaries for nmf, written by python -m sep.cli.nmf."
)
_ORACLE_N_FFT = flags.DEFINE_integer(
    "oracle_n_fft",
    4096,
    "Samples (at 44.1 kHz) of a frame of ibm, irm, mwf, psm, cirm; the hop is a quarter.",
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
_NOTE = flags.DEFINE_string("note", "", "Text to add to the listening page.")


def run() -> None:
    """The command, as `evaluate.py` and sep-evaluate call it."""
    cli.launch(main)


def main(argv: list[str]) -> int:
    """Runs the command with parsed flags; returns its exit status."""
    cli.expect_no_arguments(argv)
    out = Path(_OUT.value)
    tests = cli.named(_DATA.value, "--data")
    models = cli.named(_MODEL.value, "--model")
    estimates = cli.named(_ESTIMATES.value, "--estimates")

    # Slow imports, after the flags have been checked.
    from sep.evaluation import score
    from sep.evaluation import tracks as test_sets

    sources = choose_sources(tests, models)
    systems = make_systems(sources, models, estimates)
    names = [system.name for system in systems]
    chosen = [*models, *estimates]
    check_names(names, chosen)
    base = choose_base(names, chosen)
    tracks, kept = [], []
    for test, folder in tests.items():
        found = test_sets.places(test, Path(folder), sources)
        tracks += found
        kept += found[: _PAGE_TRACKS.value]
    rows, errors = score.evaluate(tracks, systems, out, kept)
    if not rows:
        raise UserError(f"nothing could be scored: {errors[0]}")
    print(write_results(out, rows, base, errors))
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
    """Sources to score: of --sources, of the first model, or of the first track.

    Raises:
      UserError: --sources has duplicates, or no sources are known.
    """
    from sep.evaluation import systems, tracks
    from sep.model.names import RESIDUAL

    if names := _SOURCES.value:
        if len(set(names)) < len(names):
            raise UserError("--sources needs different names, as in piano,violin")
        return tuple(names)
    for model in models.values():
        return tuple(s for s in systems.outputs_of_model(model) if s != RESIDUAL)
    if found := tracks.sources_of(Path(next(iter(tests.values())))):
        return found
    raise UserError("no sources are known; name them with --sources")


def make_systems(
    sources: tuple[str, ...], models: dict[str, str], estimates: dict[str, str]
) -> list["System"]:
    """All systems to score: lower bounds, stems of other tools, models, upper bounds."""
    from sep.evaluation import references, systems
    from sep.evaluation.references.spectra import Transform

    transform = Transform(_ORACLE_N_FFT.value, _ORACLE_N_FFT.value // 4)
    learned = Path(_NMF.value) if _NMF.value else None
    options = references.ReferenceOptions(transform, learned)
    bounds = {
        name: systems.of_reference(name, sources, options) for name in _REFERENCES.value
    }
    lower = [name for name in bounds if name in references.LOWER]
    upper = [name for name in bounds if name not in references.LOWER]
    return [
        *(bounds[name] for name in lower),
        *(systems.of_folder(n, Path(d), sources) for n, d in estimates.items()),
        *(systems.of_model(n, path, sources) for n, path in models.items()),
        *(bounds[name] for name in upper),
    ]


def check_names(names: Sequence[str], chosen: Sequence[str]) -> None:
    """Checks the names of systems.

    Args:
      names: of all systems.
      chosen: names of models and stems, without bounds.

    Raises:
      UserError: there is no system, or a name is used twice or reserved.
    """
    from sep.evaluation.score import REFERENCE
    from sep.model.names import MIXTURE

    if not names:
        raise UserError("nothing to score; name a --model, --estimates or --references")
    for name in {REFERENCE, MIXTURE}.intersection(chosen):
        raise UserError(f"{name}: the name is taken; put another NAME= before its path")
    if len(set(names)) < len(names):
        raise UserError(f"systems need different names: {', '.join(names)}")


def choose_base(names: Sequence[str], chosen: Sequence[str]) -> str:
    """System that others are compared with: --base, or the first of `chosen` and `names`.

    Raises:
      UserError: --base names no system.
    """
    base = _BASE.value or [*chosen, *names][0]
    if base not in names:
        raise UserError(f"--base={base}: no such system; there are {', '.join(names)}")
    return base


def write_results(out: Path, rows: Sequence["Row"], base: str, errors: list[str]) -> str:
    """Writes results.csv, results.json and table.md; returns the text of table.md."""
    from sep.evaluation import metrics, score, statistics, tables

    summaries = statistics.summaries(rows)
    better = statistics.differences(rows, base, metrics.MAIN)
    tables.write_csv(out / "results.csv", rows, score.Row._fields)
    text = f"{tables.overview(summaries)}\n{tables.scores(summaries)}"
    if better:
        unit = f"{metrics.label(metrics.MAIN)} in {metrics.METRICS[metrics.MAIN].unit}"
        text += f"\n{unit}, on the same tracks:\n\n{tables.differences(better, base)}"
    for name, content in (
        ("table.md", text),
        ("results.json", as_json(summaries, better, base, errors)),
    ):
        with replacing(out / name) as part:
            part.write_text(content, encoding="utf-8", errors="replace")
    return text


def as_json(
    summaries: Sequence["ScoreSummary"],
    better: Sequence["ScoreSummary"],
    base: str,
    errors: list[str],
) -> str:
    """Text of results.json."""
    import sep
    from sep.evaluation.metrics import MAIN, METRICS
    from sep.evaluation.score import json_number

    def row(summary: "ScoreSummary") -> dict[str, Any]:
        return {
            key: json_number(value) if isinstance(value, float) else value
            for key, value in summary._asdict().items()
        }

    medians = [name for name, metric in METRICS.items() if metric.statistic == "median"]
    facts = {
        "sep": sep.__version__,
        "over_tracks": {"median": sorted(medians), "mean": "all others"},
        "summaries": [row(summary) for summary in summaries],
        f"better_in_{MAIN}_than": {base: [row(summary) for summary in better]},
        "left_out": errors,
    }
    return json.dumps(facts, indent=1) + "\n"


def draw(out: Path, tests: dict[str, str], rows: Sequence["Row"]) -> None:
    """Draws box plots of every test set; prints a line if Matplotlib is not installed."""
    from sep.evaluation import plots

    try:
        for test in tests:
            if any(row.test == test for row in rows):
                plots.boxes(out / f"{test}.png", rows, test)
    except plots.MissingError as error:
        print(f"no box plots: {error}")


def write_page(
    out: Path, kept: Sequence["Place"], systems: Sequence[str], rows: Sequence["Row"]
) -> Path | None:
    """Writes the listening page of the tracks in `kept` that have scores, if there are any.

    Returns:
      The page's index.html.
    """
    from sep.evaluation.metrics import METRICS
    from sep.evaluation.score import page_sounds
    from sep.listening_page import page

    shown = {name: metric.label for name, metric in METRICS.items() if metric.on_page}
    tracks = []
    for title, sounds in page_sounds(kept, systems, rows, out):
        lines = [
            page.Line(
                *(source, system, path),
                {label: scores[name] for name, label in shown.items() if name in scores},
            )
            for source, system, path, scores in sounds
        ]
        tracks.append(page.PageTrack(title, lines))
    if not tracks:
        return None
    note = f"Scores are in dB; higher is better. {_NOTE.value}".strip()
    return page.write_page(out / "page", "Separations compared", tracks, note)
