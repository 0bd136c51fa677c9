"""What a recording is taken apart into: stems, all but some, or a remix.

Each is a sum of stems with weights, so all of them are one product of a matrix.
"""

from typing import NamedTuple

from sep.errors import UserError

REMIX = "remix"


class Output(NamedTuple):
    """A file to be made: its name, without the suffix, and a weight for each stem."""

    name: str
    weights_S: tuple[float, ...]


def plan_outputs(
    names: tuple[str, ...],
    stems: tuple[str, ...] = (),
    minus: tuple[str, ...] = (),
    gains: dict[str, float] | None = None,
) -> list[Output]:
    """The files to be made of each recording.

    Without any wish that is all stems; otherwise what is wished for, and nothing else.

    Args:
      names: of the model's stems, which sum to the recording.
      stems: to be written.
      minus: what a file of all the rest is to leave out.
      gains: in dB, of the stems in a remix; those without one stay as they are.

    Raises:
      UserError: the model has no stem of some name, or nothing would be left.
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
    made = [output.name for output in outputs]
    if len(set(made)) < len(made):
        raise UserError(f"two files would have one name: {', '.join(made)}")
    return outputs


def parse_names(text: str) -> tuple[str, ...]:
    """'piano,violin' as names."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def parse_gains(text: str) -> dict[str, float]:
    """'piano=-6,violin=+3' as dB by name; '-inf' is silence.

    Raises:
      UserError: it is something else.
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
                f"--gains: {part!r} is not a stem and dB below 100, as in "
                "--gains=piano=-6,violin=+3"
            )
    return gains


def parse_seconds(text: str) -> float:
    """'90', '1:30' or '0:01:30' as seconds.

    Raises:
      UserError: it is something else.
    """
    seconds = 0.0
    try:
        for part in text.split(":"):
            number = float(part)
            if not 0 <= number < float("inf"):
                raise ValueError
            seconds = 60 * seconds + number
    except ValueError:
        raise UserError(f"{text!r} is not a time: write seconds, or 1:30") from None
    return seconds
