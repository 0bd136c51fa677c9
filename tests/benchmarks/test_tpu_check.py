"""Tests of benchmarks/tpu_check.py on texts of known content."""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given
from hypothesis import strategies as st

PATH = Path(__file__).parents[2] / "benchmarks" / "tpu_check.py"
SPEC = importlib.util.spec_from_file_location("tpu_check", PATH)
tpu_check = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tpu_check)

TEXT = """
  %all-reduce.31 = (f32[512]{0:T(512)S(1)}, bf16[4,512]{1,0:T(8,128)S(1)}, /*index=2*/f32[]) all-reduce(%a, %b, %c), channel_id=1, to_apply=%sum
  %get-tuple-element.2 = f32[512]{0:T(512)S(1)} get-tuple-element(%all-reduce.31), index=0
  %all-reduce-start.2 = f32[100]{0} all-reduce-start(%d), replica_groups={{0,1}}
  %all-reduce-done.2 = f32[100]{0} all-reduce-done(%all-reduce-start.2)
  %ag = (bf16[8,16]{1,0}, bf16[64,16]{1,0}) all-gather-start(%e), dimensions={0}
  %agd = bf16[64,16]{1,0} all-gather-done(%ag)
  %cp = (u8[10]{0}, u8[10]{0}, u32[]{:S(2)}, u32[]{:S(2)}) collective-permute-start(%f)
  %fusion.1 = f32[7]{0} fusion(%all-reduce.31), kind=kLoop, calls=%all-reduce-fusion
  ROOT %rs = f32[2,3]{1,0} reduce-scatter(%g), dimensions={0}
"""  # noqa: E501


def test_collectives_count_once_with_the_bytes_of_their_results():
    assert tpu_check.collectives(TEXT) == {
        "all-reduce": {"count": 2, "bytes": 4 * 512 + 2 * 4 * 512 + 4 + 400},
        "all-gather": {"count": 1, "bytes": 2 * 64 * 16},
        "collective-permute": {"count": 1, "bytes": 10},
        "reduce-scatter": {"count": 1, "bytes": 24},
    }


def test_program_of_one_device_has_no_collectives():
    program = jax.jit(lambda x: jnp.tanh(x).sum()).lower(jnp.ones((4, 4))).compile()
    assert tpu_check.collectives(program.as_text()) == {}


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [
        ("f32[2,3]{1,0:T(8,128)S(1)}", [24]),
        ("f32[]", [4]),
        ("pred[9]{0}", [9]),
        ("c64[3]{0}", [24]),
        ("s4[10]{0}", [5]),
        ("f8e4m3fn[6]{0}", [6]),
        ("f32[0,7]{1,0}", [0]),
        ("(bf16[5]{0}, (u8[2]{0}, f64[1]{0}))", [10, 2, 8]),
        ("token[]", [0]),
        ("()", []),
    ],
)
def test_bytes_of_a_shape(shape, sizes):
    assert tpu_check.array_bytes(shape) == sizes


@given(st.lists(st.lists(st.integers(0, 9), max_size=3), max_size=4))
def test_bytes_of_a_tuple_are_those_of_its_arrays(shapes):
    arrays = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    text = ", ".join(f"f32[{','.join(map(str, x.shape))}]{{0:T(8,128)}}" for x in arrays)
    assert tpu_check.array_bytes(f"({text})") == [4 * x.size for x in arrays]


def test_memory_counts_donated_arguments_once():
    analysis = SimpleNamespace(
        argument_size_in_bytes=100_000_000,
        output_size_in_bytes=80_000_000,
        alias_size_in_bytes=70_000_000,
        temp_size_in_bytes=30_000_000,
        generated_code_size_in_bytes=5_000_000,
    )
    found = tpu_check.memory(analysis)
    assert found["peak_MB"] == 100 + 80 - 70 + 30 + 5
    assert found["arguments_MB"] == 100 and found["temporaries_MB"] == 30


def fault(topology="v5e:2x4", chips=8, peak_MB=100, collectives=("all-reduce",)):
    found = {"peak_MB": peak_MB, "collectives": dict.fromkeys(collectives)}
    return tpu_check.fault_of(found, topology, chips)


def test_faults_of_a_program():
    assert fault() == ""
    assert fault(chips=1, collectives=()) == ""
    assert "16 GB" in fault(peak_MB=16_001)
    assert fault("v6e:2x4", peak_MB=16_001) == ""
    assert fault(collectives=()) == "gradients are not reduced over the chips"
    assert "(all-gather)" in fault(collectives=("all-gather", "all-reduce"))


def test_missing_libtpu_is_reported_in_one_line(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "libtpu" else found(name)
    )
    monkeypatch.setattr(sys, "argv", ["tpu_check.py"])
    with pytest.raises(SystemExit) as stop:
        tpu_check.main()
    assert "'.[tpu]'" in str(stop.value) and "\n" not in str(stop.value)


def test_step_lowers_for_cuda_with_the_batch_on_all_devices():
    args = SimpleNamespace(batch=1, rooms=2, devices=4)
    found = tpu_check.lowered_for_cuda(args, "fft")
    assert found["partitions"] == 4 and found["sharded_arrays"] >= 1
    assert found["operations"] > 1000
