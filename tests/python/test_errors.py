"""Bad input: the type of the exception, its text, and that nothing is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest
from conftest import Recorder, make_call
from cuda_tensor import CudaTensor

import moegemm


def overlapping(call: Any) -> numpy.ndarray:
    """A result that shares memory with the tokens."""
    return call.a.values.view(numpy.uint8).reshape(-1)[: 26 * 35 * 2].view(numpy.uint16).reshape(26, 35)


def read_only(array: numpy.ndarray) -> numpy.ndarray:
    array.flags.writeable = False
    return array


def strided(array: numpy.ndarray) -> numpy.ndarray:
    return numpy.repeat(array, 2, axis=1)[:, ::2]


M_INDPTR = numpy.array([0, 3, 3, 20, 21, 21, 26], numpy.int32)

# What is changed in a good call, the exception, the argument that it names, and a piece of what it says.
CASES: list[tuple[str, dict[str, Any], type[Exception], str, str]] = [
    ("bf16", {"variant": "fp6"}, ValueError, "variant", "bf16, int8, fp8"),
    ("bf16", {"dst_dtype": "int8"}, ValueError, "dst_dtype", "bfloat16"),
    ("bf16", {"dst_dtype": "float7"}, ValueError, "dst_dtype", "one of"),
    ("bf16", {"a_dtype": "e5m2"}, ValueError, "dtype", "bf16 for bf16"),
    ("bf16", {"scale_layout": "linear"}, ValueError, "scale_layout", "none"),
    ("mxfp8", {"scale_layout": "diagonal"}, ValueError, "scale_layout", "swizzled_128x4"),
    ("bf16", {"provider": "abacus"}, ValueError, "provider", "cpu"),
    ("bf16", {"provider": "flashinfer"}, ValueError, "provider", "one of"),
    ("bf16", {"alpha": numpy.ones(1, numpy.float32)}, ValueError, "alpha", "bf16 has no alpha"),
    ("bf16", {"a_scale": numpy.ones(26, numpy.float32)}, ValueError, "a_scale", "planned without it"),
    ("int8", {"a_scale": None}, ValueError, "per_token_scale", "f32 (26)"),
    ("fp8_block", {"b_scale": None}, ValueError, "b_scale", "f32 (6, 2, 1)"),
    ("int8", {"a_scale": numpy.ones(25, numpy.float32)}, ValueError, "per_token_scale", "shape (26)"),
    ("int8", {"a_scale": numpy.ones(26, numpy.float64)}, TypeError, "per_token_scale", "f32"),
    ("bf16", {"m_indptr": M_INDPTR.astype(numpy.int64)}, TypeError, "m_indptr", "i32"),
    ("bf16", {"m_indptr": list(M_INDPTR)}, TypeError, "m_indptr", "DLPack"),
    ("bf16", {"m_indptr": None}, TypeError, "m_indptr", "NoneType"),
    ("bf16", {"m_indptr": M_INDPTR[::-1].copy()}, ValueError, "m_indptr", "0 at entry 0"),
    (
        "bf16",
        {"m_indptr": numpy.array([0, 3, 2, 20, 21, 21, 26], numpy.int32)},
        ValueError,
        "m_indptr",
        "at least entry",
    ),
    ("bf16", {"m_indptr": numpy.array([0, 3, 3, 20, 21, 21, 27], numpy.int32)}, ValueError, "m_indptr", "rows, 26"),
    ("bf16", {"m_indptr": M_INDPTR[:6]}, ValueError, "m_indptr", "shape (7)"),
    ("bf16", {"a": numpy.zeros((26, 160), numpy.float32)}, TypeError, "scatter_tokens", "bf16"),
    ("bf16", {"a": numpy.zeros((26, 159), numpy.uint16)}, ValueError, "scatter_tokens", "shape (26, 160)"),
    ("bf16", {"a": numpy.zeros(160, numpy.uint16)}, ValueError, "scatter_tokens", "shape (R, K)"),
    ("bf16", {"a": strided(numpy.zeros((26, 160), numpy.uint16))}, ValueError, "scatter_tokens", "row-major"),
    ("bf16", {"a": "tokens"}, TypeError, "scatter_tokens", "no __dlpack__"),
    ("bf16", {"w": numpy.zeros((35, 160), numpy.uint16)}, ValueError, "experts_weight", "shape (E, N, K)"),
    ("mxfp8", {"w": numpy.zeros((6, 35, 161), numpy.uint8)}, ValueError, "hidden_size", "multiple of 32"),
    ("bf16", {"out": numpy.zeros((26, 34), numpy.float32)}, ValueError, "y", "shape (26, 35)"),
    ("bf16", {"out": numpy.zeros((26, 35), numpy.float16)}, TypeError, "y", "f32"),
    ("bf16", {"out": read_only(numpy.zeros((26, 35), numpy.float32))}, ValueError, "out", "may be written"),
    ("bf16", {"out": [[0.0] * 35] * 26}, TypeError, "out", "DLPack"),
    ("int8", {"per_token_scale": numpy.ones(26, numpy.float32)}, ValueError, "a_scale", "per_token_scale"),
    ("bf16", {"host_m_indptr": M_INDPTR[:3]}, ValueError, "host_m_indptr", "shape (7)"),
    ("bf16", {"host_m_indptr": M_INDPTR + 1}, ValueError, "host_m_indptr", "copy of m_indptr"),
]


@pytest.mark.parametrize(("variant", "changed", "kind", "argument", "piece"), CASES)
def test_bad_calls(variant: str, changed: dict[str, Any], kind: type[Exception], argument: str, piece: str) -> None:
    call = make_call(variant)
    changed = dict(changed)
    out = changed.get("out", numpy.full((26, 35), 7, numpy.float32))
    before = numpy.array(out, copy=True)
    values = {name: changed.pop(name, good) for name, good in
              (("a", call.a.values), ("w", call.w.values), ("m_indptr", call.m_indptr))}  # fmt: skip
    arguments = {**call.options, "out": out, **changed}
    with pytest.raises(kind) as raised:
        moegemm.moe_quant_group_gemm(values["a"], values["w"], values["m_indptr"], **arguments)
    assert type(raised.value) is kind
    assert str(raised.value).startswith(f"{argument} = ")
    assert piece in str(raised.value)
    numpy.testing.assert_array_equal(out, before)
    # The process lives on.
    call.run()


def test_errors_have_attributes() -> None:
    with pytest.raises(ValueError) as raised:
        moegemm.route(8, 4, 5)
    error = raised.value
    assert (error.argument, error.value) == ("topk", "5")  # type: ignore[attr-defined]
    assert "num_experts" in error.allowed  # type: ignore[attr-defined]


def test_out_must_not_share_memory_with_the_operands() -> None:
    call = make_call("bf16")
    with pytest.raises(ValueError, match="^y = memory that overlaps scatter_tokens"):
        call.run(out=overlapping(call), dst_dtype=None)


PLANS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"experts": 0}, ValueError, "num_experts = 0"),
    ({"n": 0}, ValueError, "new_hidden_size = 0"),
    ({"k": 33}, ValueError, "hidden_size = 33"),
    ({"max_rows": -1}, ValueError, "max_rows = -1"),
    ({"max_rows": 2**31}, ValueError, "max_rows = 2147483648"),
    ({"n": 2**40, "k": 2**40}, ValueError, "experts_weight = "),  # does not fit in 63 bits
    ({"k": 2**64}, TypeError, "incompatible"),
    ({"device": "gpu"}, ValueError, "device = gpu"),
    ({"device": "cuda:x"}, ValueError, "device = cuda:x"),
    ({"device": "cpu:1:2"}, ValueError, "device = cpu:1:2"),
    ({"device": (2, 0), "provider": "cpu"}, Exception, "device"),
    ({"provider": "abacus"}, ValueError, "provider = abacus"),
    ({"kernel": "avx9"}, ValueError, "kernel = avx9"),
    ({"threads": -1}, ValueError, "threads = -1"),
    ({"alpha": True}, ValueError, "alpha = given"),
]


@pytest.mark.parametrize(("changed", "kind", "piece"), PLANS)
def test_bad_plans(changed: dict[str, Any], kind: type[Exception], piece: str) -> None:
    good: dict[str, Any] = {"experts": 2, "n": 8, "k": 64, "max_rows": 16}
    moegemm.plan("mxfp8", **good)
    with pytest.raises(kind, match=piece):
        moegemm.plan("mxfp8", **{**good, **changed})


def test_bad_calls_of_a_plan() -> None:
    call = make_call("bf16")
    plan = moegemm.plan("bf16", experts=6, n=35, k=160, max_rows=25)
    with pytest.raises(ValueError, match="^scatter_tokens = 26 rows: allowed is at most the plan's max_rows, 25"):
        plan.run(call.a.values, call.m_indptr, call.w.values)
    with pytest.raises(ValueError, match="^rows = 26"):
        plan.tensors(26)
    plan = moegemm.plan("bf16", experts=6, n=35, k=160, max_rows=26)
    with pytest.raises(ValueError, match="^experts_weight = absent"):
        plan.run(call.a.values, call.m_indptr)
    with pytest.raises(ValueError, match="^packed_w = 8 bytes"):
        plan.run(call.a.values, call.m_indptr, packed_weights=numpy.zeros(64, numpy.uint8)[:8])
    with pytest.raises(ValueError, match="^workspace = "):
        plan.run(call.a.values, call.m_indptr, call.w.values, workspace=numpy.zeros(8, numpy.uint8))
    with pytest.raises(ValueError, match="^experts_weight = shape"):
        plan.pack(call.w.values[:, :34].copy())
    with pytest.raises(ValueError, match="^packed_w = "):
        plan.pack(call.w.values, out=numpy.zeros(8, numpy.uint8))
    reference = moegemm.plan("bf16", experts=6, n=35, k=160, max_rows=26, provider="reference")
    assert reference.packed_bytes == 0
    with pytest.raises(NotImplementedError, match="^pack = "):
        reference.pack(call.w.values)


def test_bad_routing_and_quantisation(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="^routing = "):
        moegemm.route(8, 4, 2, routing="sorted")
    with pytest.raises(ValueError, match="^ep_rank = 2"):
        moegemm.route(8, 4, 2, ep_size=2, ep_rank=2)
    with pytest.raises(OSError, match="nowhere.json"):
        moegemm.route(8, 4, 2, routing=f"counts:{tmp_path}/nowhere.json")
    (tmp_path / "text.json").write_text("{")
    with pytest.raises(ValueError, match="text.json"):
        moegemm.route(8, 4, 2, routing=f"counts:{tmp_path}/text.json")
    with pytest.raises(ValueError, match="^num_tokens = "):
        moegemm.route(2**40, 4, 2)
    good = numpy.ones((26, 160), numpy.float32)
    with pytest.raises(ValueError, match="^scatter_tokens = nan at index 161"):
        bad = good.copy()
        bad[1, 1] = numpy.nan
        moegemm.quantize_tokens(bad, M_INDPTR, variant="int8")
    with pytest.raises(TypeError, match="^values = "):
        moegemm.quantize_tokens(good.astype(numpy.float64), M_INDPTR, variant="int8")
    with pytest.raises(ValueError, match="^values = shape"):
        moegemm.quantize_weights(good, variant="int8")
    with pytest.raises(ValueError, match="^values = memory of another device"):
        moegemm.quantize_tokens(CudaTensor("f32", (26, 160)), M_INDPTR, variant="int8")
    with pytest.raises(ValueError, match="^scatter_tokens = 4160 values: allowed is 3360 values"):
        moegemm.quantize_tokens(good, M_INDPTR[:6], variant="int8")
    with pytest.raises(ValueError, match="^m_indptr = 1 dimensions|^m_indptr = shape"):
        moegemm.quantize_tokens(good, M_INDPTR[None, :], variant="int8")
    with pytest.raises(ValueError, match="hidden_size = 159"):
        moegemm.quantize_tokens(good[:, :159].copy(), M_INDPTR, variant="nvfp4")
    scales = make_call("mxfp8").a.scales
    with pytest.raises(ValueError, match="source"):
        moegemm.convert_a_scales(scales[:-1], M_INDPTR, columns=5, from_layout="swizzled_128x4", to_layout="linear")
    with pytest.raises(ValueError, match="^columns = 0"):
        moegemm.convert_a_scales(scales, M_INDPTR, columns=0, from_layout="swizzled_128x4", to_layout="linear")
    with pytest.raises(ValueError, match="^from = mn_major: allowed is one of linear, "):
        moegemm.convert_a_scales(scales, M_INDPTR, columns=5, from_layout="mn_major", to_layout="linear")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (1, ValueError),
        (2, NotImplementedError),
        (3, MemoryError),
        (4, ValueError),
        (5, OSError),
        (6, ValueError),
        (7, RuntimeError),
        (8, RuntimeError),
    ],
)
def test_every_code_of_a_provider_becomes_an_exception(recorder: Recorder, status: int, kind: type[Exception]) -> None:
    recorder.answer(status)
    tensors = [CudaTensor("bf16", (4, 16)), CudaTensor("bf16", (2, 8, 16)), CudaTensor("i32", (3,))]
    with pytest.raises(kind, match="^the argument = the value: allowed is the allowed$") as raised:
        moegemm.moe_quant_group_gemm(*tensors, variant="bf16", out=CudaTensor("f32", (4, 8)), provider="recorder")
    assert type(raised.value) is kind
    assert recorder.calls == 1


def test_plugins_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="there is no such file"):
        moegemm.load_plugin(tmp_path / "moegemm_none.so")
    (tmp_path / "moegemm_text.so").write_text("not a library")
    with pytest.raises(RuntimeError, match="moegemm_text.so"):
        moegemm.load_plugin(str(tmp_path / "moegemm_text.so"))
