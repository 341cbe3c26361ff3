"""Packed weights in files: what was saved runs to the same bits, and other files are refused with the reason."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy
import pytest
from conftest import Call, make_call

import moegemm


def make_plan(call: Call, **changed: int) -> moegemm.Plan:
    sizes = {"experts": 6, "n": 35, "k": 160, "max_rows": 40, **changed}
    alpha = call.options["alpha"] is not None
    return moegemm.plan(call.variant, dst_dtype="float32", alpha=alpha, **sizes)


@pytest.fixture
def call() -> Call:
    return make_call("nvfp4")


@pytest.fixture
def saved(call: Call, tmp_path: Path) -> Path:
    plan = make_plan(call)
    path = tmp_path / "layer"
    plan.save_packed(plan.pack(call.w.values, b_scale=call.w.scales), path)
    return path


@pytest.mark.parametrize("variant", moegemm.variants())
def test_what_was_saved_runs_to_the_same_bits(variant: str, tmp_path: Path) -> None:
    call = make_call(variant)
    plan = make_plan(call)
    packed = plan.pack(call.w.values, b_scale=call.w.scales)
    plan.save_packed(packed, str(tmp_path / "layer"))
    arguments = {"a_scale": call.a.scales, "alpha": call.options["alpha"]}
    y = plan.run(call.a.values, call.m_indptr, packed_weights=packed, **arguments)

    other = make_plan(call, max_rows=100)
    loaded = other.load_packed(tmp_path / "layer")
    assert isinstance(loaded, numpy.ndarray) and loaded.dtype == numpy.uint8 and loaded.nbytes == plan.packed_bytes
    numpy.testing.assert_array_equal(loaded, packed)
    numpy.testing.assert_array_equal(
        other.run(call.a.values, call.m_indptr, packed_weights=loaded, **arguments), y
    )


def test_the_file_is_as_documented(call: Call, saved: Path) -> None:
    file = saved.read_bytes()
    packed = file[256:]
    version = next(provider.version for provider in moegemm.providers() if provider.name == "cpu")
    header = b"\x89MOEP\r\n\x1a" + struct.pack(
        "<IIQQQQ16s16s32s64s72sI", 1, 256, len(packed), 6, 35, 160, b"nvfp4", b"e2m1x2", b"swizzled_128x4", b"cpu",
        version.encode(), zlib.crc32(packed),
    )  # fmt: skip
    assert file == header + struct.pack("<I", zlib.crc32(header)) + packed
    assert len(packed) == make_plan(call).packed_bytes


def test_out_is_written_to_and_returned(call: Call, saved: Path) -> None:
    plan = make_plan(call)
    out = numpy.zeros(plan.packed_bytes + 3, numpy.uint8)
    assert plan.load_packed(saved, out=out) is out
    assert out[:-3].tobytes() == saved.read_bytes()[256:] and not out[-3:].any()
    with pytest.raises(ValueError, match=f"^out = {plan.packed_bytes - 1} bytes .* at least {plan.packed_bytes} bytes"):
        plan.load_packed(saved, out=out[: plan.packed_bytes - 1])
    with pytest.raises(TypeError, match="^out = "):
        plan.load_packed(saved, out=out.view(numpy.int8))


def test_other_weights_are_refused(call: Call, saved: Path) -> None:
    with pytest.raises(ValueError, match="^packed_w = a file of N 35: allowed is N 36$"):
        make_plan(call, n=36).load_packed(saved)
    with pytest.raises(ValueError, match='^packed_w = a file of variant "nvfp4": allowed is variant "nvfp4_a16"$'):
        make_plan(make_call("nvfp4_a16")).load_packed(saved)


def test_a_damaged_file_is_refused(call: Call, saved: Path) -> None:
    file = bytearray(saved.read_bytes())
    saved.write_bytes(file[:-1])
    with pytest.raises(ValueError, match="^packed_w = .* cut short$"):
        make_plan(call).load_packed(saved)
    file[300] ^= 1
    saved.write_bytes(file)
    with pytest.raises(ValueError, match="^packed_w = .* damaged$"):
        make_plan(call).load_packed(saved)


def test_places_that_are_none(call: Call, saved: Path, tmp_path: Path) -> None:
    plan = make_plan(call)
    packed = plan.load_packed(saved)
    with pytest.raises(OSError, match="No such file"):
        plan.load_packed(tmp_path / "none")
    with pytest.raises(OSError, match="No such file"):
        plan.save_packed(packed, tmp_path / "none" / "layer")
    with pytest.raises(OSError, match="directory"):
        plan.save_packed(packed, tmp_path)


def test_what_is_not_packed_is_not_saved(call: Call, tmp_path: Path) -> None:
    plan = make_plan(call)
    with pytest.raises(ValueError, match="^packed_weights = 5 bytes"):
        plan.save_packed(numpy.zeros(5, numpy.uint8), tmp_path / "layer")
    reference = moegemm.plan("nvfp4", experts=6, n=35, k=160, max_rows=40, provider="reference")
    with pytest.raises(NotImplementedError, match="^packed_weights = of a plan by reference: "):
        reference.save_packed(numpy.zeros(5, numpy.uint8), tmp_path / "layer")
    with pytest.raises(NotImplementedError, match="^out = of a plan by reference: "):
        reference.load_packed(tmp_path / "layer")
    assert not (tmp_path / "layer").exists()
