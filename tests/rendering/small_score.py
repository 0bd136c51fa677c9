"""Writes small MusicXML scores."""

from pathlib import Path

SCORE = """<?xml version="1.0" encoding="UTF-8"?>
<score-partwise version="3.1">
  <identification><creator type="composer">{composer}</creator></identification>
  <part-list>
    <score-part id="P1"><part-name>{first}</part-name></score-part>
    <score-part id="P2"><part-name>{second}</part-name></score-part>
  </part-list>
  <part id="P1">{melody}</part>
  <part id="P2">{piano}</part>
</score-partwise>"""
ATTRIBUTES = "<attributes><divisions>1</divisions></attributes>"


def note(step: str, octave: int, chord: bool = False) -> str:
    mark = "<chord/>" if chord else ""
    pitch = f"<pitch><step>{step}</step><octave>{octave}</octave></pitch>"
    return f"<note>{mark}{pitch}<duration>1</duration><voice>1</voice></note>"


def write_score(
    path: Path, *, first="Voice", second="Piano", composer="Nobody", bars=8
) -> Path:
    """Writes A4 B4 C5 D5 over chords of C major, a quarter each, at 90 a minute."""
    tune = "".join(note(s, o) for s, o in (("A", 4), ("B", 4), ("C", 5), ("D", 5)))
    chord = note("C", 3) + note("E", 3, True) + note("G", 3, True)

    def part(bar):
        return "".join(
            f'<measure number="{i + 1}">{ATTRIBUTES if i == 0 else ""}{bar}</measure>'
            for i in range(bars)
        )

    text = SCORE.format(
        composer=composer,
        first=first,
        second=second,
        melody=part(tune),
        piano=part(chord * 4),
    )
    path.write_text(text)
    return path
