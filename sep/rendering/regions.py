"""SFZ maps as plain data: a list of regions, each a dict of opcodes.

Reads, mends and writes flat maps of samples, a part of the format (sfzformat.com). Maps
with #include and #define can only be played.
"""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from sep.errors import UserError
from sep.runtime.files import replacing

Region = dict[str, str]  # opcode -> value; 'sample' is an absolute path

_HEADER = re.compile(r"<(\w+)>")
_OPCODE = re.compile(r"(\w+)=(.*?)(?=\s+\w+=|\s*$)")
_LEVELS = ("global", "master", "group", "region")  # each inherits from those before
_KEYS = ("lokey", "hikey", "pitch_keycenter")


def read(path: Path) -> list[Region]:
    """Reads the regions of a map, with the opcodes that they inherit.

    Raises:
      UserError: the map cannot be read, uses directives, or has no region.
    """
    regions = _parse(_text(path), path.parent)
    if any(region.get("sample", "*").startswith("*") for region in regions):
        raise UserError(f"{path}: has a <region> without a sample file; remove it")
    if not regions:
        raise UserError(f"{path}: has no <region>; give a map that has samples")
    return regions


def _text(path: Path) -> str:
    """Reads a flat map without its comments.

    Raises:
      UserError: the map cannot be read, or uses directives.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise UserError(f"{path}: cannot be read as an SFZ map ({reason})") from None
    if re.search(r"^\s*#(include|define)\b", text, re.MULTILINE):
        raise UserError(f"{path}: uses #include or #define; only flat maps can be mended")
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return re.sub(r"//.*", "", text)


def _parse(text: str, place: Path) -> list[Region]:
    """Parses a map that lies in the folder `place`."""
    folder, regions = "", []
    scopes: dict[str, Region] = {level: {} for level in _LEVELS}
    _, *parts = _HEADER.split(text)
    for header, body in zip(parts[::2], parts[1::2], strict=True):
        opcodes = {k: v for line in body.splitlines() for k, v in _OPCODE.findall(line)}
        if header == "control":
            folder = opcodes.get("default_path", folder)
        if header not in _LEVELS:
            continue
        scopes[header] = opcodes
        for inner in _LEVELS[_LEVELS.index(header) + 1 :]:
            scopes[inner] = {}
        if header == "region":
            region = {k: v for level in _LEVELS for k, v in scopes[level].items()}
            regions.append(_absolute(region, place, folder))
    return regions


def _absolute(region: Region, place: Path, folder: str) -> Region:
    """Replaces 'key' by the opcodes it stands for, and the sample by an absolute path.

    Args:
      region: opcodes as in the map.
      place: folder of the map.
      folder: the map's default_path.
    """
    if "key" in region:
        key = region.pop("key")
        region = dict.fromkeys(_KEYS, key) | region
    if not region.get("sample", "*").startswith("*"):  # *sine and such are computed
        sample = (folder + region["sample"]).replace("\\", "/")
        region["sample"] = str((place / sample).resolve())
    return region


def number(region: Region, opcode: str) -> int:
    """Returns an integer opcode, or SFZ's default.

    Raises:
      UserError: its value is not a number (keys by name are not supported).
    """
    defaults = {"hikey": 127, "hivel": 127, "pitch_keycenter": 60}
    defaults |= {"seq_length": 1, "seq_position": 1}
    value = region.get(opcode, defaults.get(opcode, 0))
    try:
        return round(float(value))
    except ValueError:
        raise UserError(f"{opcode}={value} of an SFZ map: must be a number") from None


def parse_opcodes(assignments: Iterable[str], flag: str) -> Region:
    """Parses texts of the form opcode=value, given with a flag.

    Raises:
      UserError: a text has another form.
    """
    pairs = [text.partition("=") for text in assignments]
    if wrong := [name for name, _, value in pairs if not (name and value)]:
        raise UserError(f"{flag}: {wrong[0] or '='} has no value; write opcode=value")
    return {name.strip(): value.strip() for name, _, value in pairs}


def write(path: Path, regions: Sequence[Region], note: str) -> None:
    """Writes a flat map.

    Samples below the map's folder are named relative to it, others absolutely.

    Args:
      path: the file to write.
      regions: its regions.
      note: a comment for its first line.
    """
    place = path.parent.resolve()
    samples = [Path(region["sample"]) for region in regions]
    folder = Path(os.path.commonpath([sample.parent for sample in samples]))
    default = folder.relative_to(place) if folder.is_relative_to(place) else folder
    shared = {k: v for k, v in regions[0].items() if all(r.get(k) == v for r in regions)}
    shared.pop("sample", None)
    lines = [f"// {note}"]
    if default != Path("."):
        lines.append(f"<control> default_path={default.as_posix()}/")
    if shared:
        lines.append("<global> " + _opcodes(shared))
    for region, sample in zip(regions, samples, strict=True):
        rest = {k: v for k, v in region.items() if k not in shared}
        rest["sample"] = sample.relative_to(folder).as_posix()
        lines.append("<region> " + _opcodes(rest))
    with replacing(path) as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _opcodes(region: Region) -> str:
    return " ".join(f"{name}={value}" for name, value in region.items())
