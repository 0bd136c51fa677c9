"""Outputs as weighted sums of stems, and the flags that describe them."""

import numpy as np
import pytest

from sep.errors import UserError
from sep.separation.outputs import parse_gains, parse_names, parse_seconds, plan_outputs

NAMES = ("piano", "violin", "residual")


def weights(**request):
    return {o.name: o.weights_S for o in plan_outputs(NAMES, **request)}


def test_outputs_are_sums_of_stems():
    assert weights() == {"piano": (1, 0, 0), "violin": (0, 1, 0), "residual": (0, 0, 1)}
    assert weights(stems=("violin", "violin")) == {"violin": (0, 1, 0)}
    assert weights(minus=("piano",)) == {"minus_piano": (0, 1, 1)}
    assert weights(minus=("piano", "residual")) == {"minus_piano_residual": (0, 1, 0)}
    assert weights(gains={"piano": -20.0, "violin": -np.inf}) == {"remix": (0.1, 0, 1)}
    assert list(weights(stems=("piano",), minus=("piano",), gains={"piano": 1})) == [
        "piano",
        "minus_piano",
        "remix",
    ]


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"stems": ("cello",)}, "no stem 'cello', only piano, violin, residual"),
        ({"minus": ("x",)}, "no stem 'x'"),
        ({"gains": {"x": 1.0}}, "no stem 'x'"),
        ({"minus": NAMES}, "leaves nothing"),
    ],
)
def test_impossible_outputs_are_refused(request_, reason):
    with pytest.raises(UserError, match=reason):
        plan_outputs(NAMES, **request_)


def test_outputs_with_the_same_name_are_refused():
    with pytest.raises(UserError, match="same name: remix, remix"):
        plan_outputs(("remix", "x"), stems=("remix",), gains={"x": 1.0})


def test_names_gains_and_times_are_parsed():
    assert parse_names(" piano, violin,") == ("piano", "violin")
    assert parse_gains("piano=-6,violin=+3.5") == {"piano": -6, "violin": 3.5}
    assert parse_gains("a=b=-inf") == {"a=b": -np.inf}
    assert [parse_seconds(t) for t in ("90", "1:30", "0:01:30.5")] == [90, 90, 90.5]
    for wrong in ("piano", "piano=", "=3", "piano=loud", "piano=nan", "piano=inf"):
        with pytest.raises(UserError, match="--gains: "):
            parse_gains(wrong)
    for wrong in ("x", "", "1:", "-1", "nan", "inf"):
        with pytest.raises(UserError, match="is not a time"):
            parse_seconds(wrong)
