"""Settings as frozen dataclasses: every field has a default, a meaning and a range.

A class of settings is declared with `setting` and `part`. From the declaration follow
plain JSON and back (`as_dict`, `from_dict`), the check of ranges (`check`), what a file
without the setting means, and the printed list of all settings (`describe`).

Names of settings within a tree are joined by dots: "train.steps". This module imports no
JAX, so that commands can read their flags before they pay for it.
"""

import dataclasses
import math
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from sep.errors import UserError

MISSING = dataclasses.MISSING
RUN = "run"  # a training run may be resumed with another value
MACHINE = "machine"  # of the machine alone: runs and studies may go on with another value
_ABOUT = "about"


class About(NamedTuple):
    """The declaration of one setting.

    Attributes:
      text: what it means, one line.
      unit: "Hz", "s", "dB", ... or empty.
      at_least, above, at_most, below: limits of its values.
      finite: whether infinity is out of range.
      choices: allowed values; empty: any.
      absent: value that files without the setting mean; `MISSING`: they are refused.
      resumes: `RUN` or `MACHINE` if work may go on with another value, else empty.
    """

    text: str
    unit: str = ""
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    finite: bool = True
    choices: tuple[Any, ...] = ()
    absent: Any = MISSING
    resumes: str = ""


def setting(default: Any, text: str, unit: str = "", **limits: Any) -> Any:
    """Declares a setting; `limits` are the other fields of `About`."""
    return dataclasses.field(
        default=default, metadata={_ABOUT: About(text, unit, **limits)}
    )


def part(default_factory: Callable[[], Any], classes: Callable | None = None) -> Any:
    """Declares a part with settings of its own.

    Args:
      default_factory: makes the part.
      classes: of a dict whose entries lie directly among the other settings (the blocks of
        all architectures, say): a function that returns their classes by name.
    """
    return dataclasses.field(default_factory=default_factory, metadata={"classes": classes})


def as_dict(settings: Any) -> dict[str, Any]:
    """Settings as plain JSON types, nested as their names are."""
    plain: dict[str, Any] = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if field.metadata.get("classes"):
            plain |= {name: as_dict(block) for name, block in value.items()}
        elif dataclasses.is_dataclass(value):
            plain[field.name] = as_dict(value)
        elif isinstance(value, Mapping):
            plain[field.name] = {name: as_dict(each) for name, each in value.items()}
        else:
            plain[field.name] = list(value) if isinstance(value, tuple) else value
    return plain


def from_dict(cls: type, plain: Any, name: str = "") -> Any:
    """Settings of a class from plain JSON types.

    A setting that is missing has the value that files without it mean; a block that is
    missing has its defaults.

    Args:
      cls: a class of settings.
      plain: the settings by name.
      name: of the part, for messages.

    Raises:
      UserError: a setting is unknown, missing or of another type.
    """
    if not isinstance(plain, Mapping):
        raise UserError(f"{name or 'settings'}: needs names and values, not {plain!r}")
    left, found = dict(plain), {}
    types = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        place = _join(name, field.name)
        if classes := field.metadata.get("classes"):
            found[field.name] = {
                key: from_dict(kind, left.pop(key, as_dict(kind())), _join(name, key))
                for key, kind in classes().items()
            }
        elif field.name in left:
            found[field.name] = _value(types[field.name], left.pop(field.name), place)
        elif (about := field.metadata.get(_ABOUT)) and about.absent is not MISSING:
            found[field.name] = about.absent
        else:
            raise UserError(f"setting {place} is missing")
    if left:
        known = ", ".join(sorted(as_dict(cls(**found))))
        raise UserError(f"unknown setting {_join(name, min(left))}; known: {known}")
    return cls(**found)


def _value(kind: Any, value: Any, place: str) -> Any:
    """A value as the declared type; whole numbers serve as floats, lists as tuples."""
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return from_dict(kind, value, place)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is dict and isinstance(value, Mapping):
        return {k: _value(arguments[1], v, _join(place, k)) for k, v in value.items()}
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_value(arguments[0], each, place) for each in value)
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if origin is None and type(value) is kind:
        return value
    wanted = getattr(origin or kind, "__name__", str(kind))
    raise UserError(f"setting {place} must be of type {wanted}, not {value!r}")


def check(settings: Any, name: str = "") -> None:
    """Checks every setting against its range.

    Raises:
      UserError: a value is out of range; the message has the flag and the range.
    """
    for place, value, about in walk(settings, name):
        if not _fits(value, about):
            raise UserError(f"--config.{place} must be {allowed(about)}, not {value!r}")


def _fits(value: Any, about: About) -> bool:
    if about.choices:
        return value in about.choices
    if isinstance(value, bool) or not isinstance(value, int | float):
        return True
    return (
        not math.isnan(value)
        and (math.isfinite(value) or not about.finite)
        and (about.at_least is None or value >= about.at_least)
        and (about.above is None or value > about.above)
        and (about.at_most is None or value <= about.at_most)
        and (about.below is None or value < about.below)
    )


def allowed(about: About) -> str:
    """The range of a setting in words."""
    if about.choices:
        return "one of " + ", ".join(map(str, about.choices))
    limits = {
        "at least": about.at_least,
        "more than": about.above,
        "at most": about.at_most,
        "less than": about.below,
    }
    words = [f"{word} {limit:g}" for word, limit in limits.items() if limit is not None]
    return " and ".join(words) or ("a finite number" if about.finite else "a number")


def walk(settings: Any, name: str = "") -> Iterator[tuple[str, Any, About]]:
    """Every setting of a tree: dotted name, value and declaration, in order."""
    for field in dataclasses.fields(settings):
        value, place = getattr(settings, field.name), _join(name, field.name)
        if dataclasses.is_dataclass(value):
            yield from walk(value, place)
        elif isinstance(value, Mapping):
            inline = field.metadata.get("classes")
            for key, each in value.items():
                yield from walk(each, _join(name if inline else place, key))
        else:
            yield place, value, field.metadata[_ABOUT]


def changed(settings: Any, changes: Mapping[str, Any]) -> Any:
    """The settings with some changed, by dotted name; the others stay.

    The name of a part stands for all of it. Types are checked as in `from_dict`.

    Raises:
      UserError: a name is unknown, or a value has another type.
    """
    plain = as_dict(settings)
    for name, value in changes.items():
        *parts, last = name.split(".")
        place = plain
        for each in parts:
            place = place.get(each, {})
        if last not in place and not _is_open(settings, parts):
            raise UserError(f"unknown setting {name}")
        value = as_dict(value) if dataclasses.is_dataclass(value) else value
        place[last] = value | {} if isinstance(value, dict) else value
    return from_dict(type(settings), plain)


def _is_open(settings: Any, parts: list[str]) -> bool:
    """Whether a part is a dict to which names may be added."""
    for each in parts:
        settings = getattr(settings, each, None)
    return isinstance(settings, Mapping)


def differences(before: Any, now: Any) -> dict[str, str]:
    """Settings that differ, by dotted name: "NAME was X and is Y"."""
    old, new = ({name: value for name, value, _ in walk(tree)} for tree in (before, now))
    return {
        name: f"{name} was {_plain(old.get(name))} and is {_plain(new.get(name))}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def resumable(settings: Any, *kinds: str) -> frozenset[str]:
    """Names of the settings with which work may go on though they differ."""
    return frozenset(name for name, _, about in walk(settings) if about.resumes in kinds)


def describe(settings: Any) -> str:
    """A line for each setting: name, value, unit, range and meaning."""
    lines = []
    for name, value, about in walk(settings):
        unit = f" {about.unit}" if about.unit else ""
        limits = allowed(about)
        shown = "" if limits in ("a finite number", "a number") else f" ({limits})"
        lines.append(f"{name} = {_plain(value)}{unit}\n    {about.text}{shown}")
    return "\n".join(lines)


def _join(name: str, last: str) -> str:
    return f"{name}.{last}" if name else last
