"""SFZ maps as plain data: a list of regions, each a dict of opcodes.

Enough of the format (sfzformat.com) to read, mend and write flat maps of samples; maps
made of #include and #define are for the player alone.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from sep.errors import UserError
from sep.runtime.files import replacing

Region = dict[str, str]  # opcode -> value; 'sample' is an absolute path

_HEADER = re.compile(r"<(\w+)>")
_OPCODE = re.compile(r"(\w+)=(.*?)(?=\s+\w+=|\s*$)")
_LEVELS = ("global", "master", "group", "region")  # each inherits from those before
_KEYS = ("lokey", "hikey", "pitch_keycenter")


def read(path: Path) -> list[Region]:
    """The regions of a map, with what they inherit.

    Raises:
      UserError: the map cannot be read, uses directives, or has no region.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise UserError(f"{path}: cannot be read as an SFZ map ({reason})") from None
    if re.search(r"^\s*#(include|define)\b", text, re.MULTILINE):
        raise UserError(f"{path}: uses #include or #define; only flat maps can be mended")
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    text = re.sub(r"//.*", "", text)
    folder, regions, scopes = "", [], {level: {} for level in _LEVELS}
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
            regions.append(_absolute(region, path.parent, folder))
    if any(region.get("sample", "*").startswith("*") for region in regions):
        raise UserError(f"{path}: has a <region> without a sample file; take it out")
    if not regions:
        raise UserError(f"{path}: has no <region>; give a map that has samples")
    return regions


def _absolute(region: Region, place: Path, folder: str) -> Region:
    """With plain key numbers, and a sample that is found from anywhere."""
    if "key" in region:
        key = region.pop("key")
        region = dict.fromkeys(_KEYS, key) | region
    if not region.get("sample", "*").startswith("*"):  # *sine and such are computed
        sample = (folder + region["sample"]).replace("\\", "/")
        region["sample"] = str((place / sample).resolve())
    return region


def number(region: Region, opcode: str) -> int:
    """An integer opcode, or SFZ's default.

    Raises:
      UserError: its value is no number (keys by name are not supported).
    """
    defaults = {"hikey": 127, "hivel": 127, "pitch_keycenter": 60}
    defaults |= {"seq_length": 1, "seq_position": 1}
    value = region.get(opcode, defaults.get(opcode, 0))
    try:
        return round(float(value))
    except ValueError:
        raise UserError(f"{opcode}={value} of an SFZ map: wants a number") from None


def write(path: Path, regions: Sequence[Region], note: str) -> None:
    """A flat map. Samples below its folder are named relative to it, others absolutely."""
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
        own = {k: v for k, v in region.items() if k not in shared}
        own["sample"] = sample.relative_to(folder).as_posix()
        lines.append("<region> " + _opcodes(own))
    with replacing(path) as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _opcodes(region: Region) -> str:
    return " ".join(f"{name}={value}" for name, value in region.items())
