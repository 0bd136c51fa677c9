"""Outputs of a recording: stems, everything except some stems, and a remix.

Each output is a weighted sum of all stems.
"""

from typing import NamedTuple

from sep.errors import UserError

REMIX = "remix"


class Output(NamedTuple):
    """An output file: its name without the suffix, and the weight of each stem."""

    name: str
    weights_S: tuple[float, ...]


def plan_outputs(
    names: tuple[str, ...],
    stems: tuple[str, ...] = (),
    minus: tuple[str, ...] = (),
    gains: dict[str, float] | None = None,
) -> list[Output]:
    """Returns the outputs of each recording.

    Without `stems`, `minus` and `gains` these are all stems. Otherwise they are exactly the
    outputs that the three ask for.

    Args:
      names: names of the model's stems, which sum to the recording.
      stems: stems that each get a file.
      minus: stems that one file of the rest leaves out.
      gains: gains in dB of stems in a remix; stems that are not named keep their level.

    Raises:
      UserError: the model has no stem of some name, an output would contain no stem, or two
        outputs would have the same name.
    """
    gains = gains or {}
    for name in (*stems, *minus, *gains):
        if name not in names:
            raise UserError(f"the model has no stem {name!r}, only {', '.join(names)}")
    if not (stems or minus or gains):
        stems = names
    outputs = [
        Output(name, tuple(float(name == other) for other in names))
        for name in dict.fromkeys(stems)
    ]
    if minus:
        if set(minus) == set(names):
            raise UserError(f"--minus={','.join(minus)} leaves nothing of the recording")
        weights = tuple(float(name not in minus) for name in names)
        outputs.append(Output("_".join(("minus", *dict.fromkeys(minus))), weights))
    if gains:
        weights = tuple(10 ** (gains.get(name, 0) / 20) for name in names)
        outputs.append(Output(REMIX, weights))
    output_names = [output.name for output in outputs]
    if len(set(output_names)) < len(output_names):
        raise UserError(f"two outputs have the same name: {', '.join(output_names)}")
    return outputs


def parse_names(text: str) -> tuple[str, ...]:
    """Parses names that are separated by commas: 'piano,violin'."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def parse_gains(text: str) -> dict[str, float]:
    """Parses gains in dB by stem: 'piano=-6,violin=+3'. '-inf' is silence.

    Raises:
      UserError: the text has another form, or a gain is 100 dB or more.
    """
    gains = {}
    for part in parse_names(text):
        name, _, number = part.rpartition("=")
        try:
            gains[name.strip()] = gain = float(number)
        except ValueError:
            gain = float("nan")
        if not name or not gain < 100:
            raise UserError(
                f"--gains: {part!r} is not a stem with a gain below 100 dB; write "
                "--gains=piano=-6,violin=+3, for example"
            )
    return gains


def parse_seconds(text: str) -> float:
    """Parses a time as seconds: '90', '1:30' or '0:01:30'.

    Raises:
      UserError: the text has another form.
    """
    seconds = 0.0
    try:
        for part in text.split(":"):
            number = float(part)
            if not 0 <= number < float("inf"):
                raise ValueError
            seconds = 60 * seconds + number
    except ValueError:
        raise UserError(
            f"{text!r} is not a time; write seconds (90) or minutes (1:30)"
        ) from None
    return seconds
