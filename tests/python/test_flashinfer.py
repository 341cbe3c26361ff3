"""FlashInfer's names: its signatures, and the conformance cases through them."""

from __future__ import annotations

import ctypes
import inspect
import json
from pathlib import Path
from typing import Any

import numpy
import pytest
from conftest import make_call, relative
from cuda_tensor import CPU, CudaTensor
from vectors import CASES, Vector, read_manifest, read_vector

import moegemm
import moegemm.flashinfer as flashinfer
import moegemm.flashinfer.gemm
import moegemm.flashinfer.grouped_mm

SIGNATURES = json.loads(Path(__file__).with_name("flashinfer_signatures.json").read_text())["functions"]
FUNCTIONS = {
    "bf16": ["grouped_mm_bf16"],
    "fp8": ["grouped_mm_fp8"],
    "fp8_block": ["group_gemm_fp8_nt_groupwise"],
    "mxfp8": ["grouped_mm_mxfp8"],
    "mxfp4": ["group_gemm_mxfp4_nt_groupwise", "group_gemm_mxfp8_mxfp4_nt_groupwise"],
    "mxfp4_a4": ["grouped_mm_fp4"],
    "nvfp4": ["group_gemm_nvfp4_nt_groupwise", "grouped_mm_fp4"],
}
OUT_TYPES = {"bfloat16": numpy.uint16, "float16": numpy.float16, "float32": numpy.float32}


def e5m2(codes: numpy.ndarray) -> CudaTensor:
    """A tensor that says what NumPy has no type for."""
    tensor = CudaTensor("e5m2", codes.shape, kind=CPU)
    ctypes.memmove(tensor.address, codes.tobytes(), codes.nbytes)
    return tensor


def scales_in(vector: Vector, layout: str) -> dict[str, numpy.ndarray]:
    """The case's one-byte scales as a function's layout has them."""
    given, tensors = vector.arguments["scale_layout"], vector.tensors
    columns = -(-vector.arguments["hidden_size"] // (16 if vector.variant == "nvfp4" else 32))
    how = {"columns": columns, "from_layout": given, "to_layout": layout}
    return {
        "a": moegemm.convert_a_scales(tensors["a_scale"], tensors["m_indptr"], **how),
        "b": moegemm.convert_w_scales(tensors["b_scale"], rows=vector.arguments["new_hidden_size"], **how),
    }


def arguments_of(function: str, vector: Vector) -> dict[str, Any]:
    tensors = vector.tensors
    operands = {"a": tensors["scatter_tokens"], "b": tensors["experts_weight"], "m_indptr": tensors["m_indptr"]}
    for name, tensor in (("a", "scatter_tokens"), ("b", "experts_weight")):
        if vector.dtypes[tensor] == "e5m2":
            operands[name] = e5m2(operands[name])
    if function in ("grouped_mm_mxfp8", "grouped_mm_fp4"):
        scales = scales_in(vector, "swizzled_128x4_whole")
        operands |= {"a_descale": scales["a"], "b_descale": scales["b"]}
    elif function == "group_gemm_fp8_nt_groupwise":
        operands |= {"a_scale": tensors["a_scale"], "b_scale": tensors["b_scale"]}
        operands["scale_major_mode"] = {"mn_major": "MN", "k_major": "K"}[vector.arguments["scale_layout"]]
    elif function.startswith("group_gemm_"):
        scales = scales_in(vector, "swizzled_128x4")
        operands |= {"a_scale": scales["a"], "b_scale": scales["b"]}
    if function == "grouped_mm_fp4":
        operands["block_size"] = 16 if vector.variant == "nvfp4" else 32
    elif "alpha" in tensors:
        operands["alpha"] = tensors["alpha"]
    return operands


def test_names_are_where_flashinfer_has_them() -> None:
    assert set(flashinfer.__all__) == set(SIGNATURES)
    for name in SIGNATURES:
        home = moegemm.flashinfer.grouped_mm if name.startswith("grouped_mm") else moegemm.flashinfer.gemm
        assert getattr(home, name) is getattr(flashinfer, name)


@pytest.mark.parametrize("function", SIGNATURES)
def test_signatures_are_flashinfers(function: str) -> None:
    rows = []
    for parameter in inspect.signature(getattr(flashinfer, function)).parameters.values():
        name = "*" * (parameter.kind is inspect.Parameter.KEYWORD_ONLY) + parameter.name
        default = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
        rows.append([name] if default is inspect.Parameter.empty else [name, default])
    assert rows == SIGNATURES[function]


@pytest.mark.parametrize(
    ("case", "function"),
    [(case, name) for case in CASES for name in FUNCTIONS.get(read_manifest(case)["variant"], [])],
)
def test_conformance(case: str, function: str) -> None:
    vector = read_vector(case)
    arguments = arguments_of(function, vector)
    if function == "grouped_mm_fp4" and "alpha" in vector.tensors:
        # One factor for all experts: the case's own multiply afterwards, in float32.
        y = flashinfer.grouped_mm_fp4(**arguments, out_dtype="float32")
        counts = numpy.diff(vector.tensors["m_indptr"])
        y = y * numpy.repeat(vector.tensors["alpha"], counts)[:, None]
        vector.check(y)
        return
    dst = vector.arguments["dst_dtype"]
    vector.check(getattr(flashinfer, function)(**arguments, out_dtype=dst))
    out = numpy.full(vector.expected.shape, 77, OUT_TYPES[dst])
    assert getattr(flashinfer, function)(**arguments, out=out) is out
    vector.check(out)


def test_every_name_is_tested() -> None:
    covered = {name for case in CASES for name in FUNCTIONS.get(read_manifest(case)["variant"], [])}
    assert covered == set(SIGNATURES)


def test_out_decides_over_out_dtype_as_flashinfer_has_it() -> None:
    call = make_call("bf16")
    out = numpy.zeros((26, 35), numpy.float32)
    flashinfer.grouped_mm_bf16(call.a.values, call.w.values, call.m_indptr, out, "bfloat16")
    numpy.testing.assert_array_equal(out, call.run())
    block = make_call("fp8_block")
    arguments = (block.a.values, block.w.values, block.a.scales, block.w.scales, block.m_indptr)
    with pytest.raises(TypeError, match="^out = "):
        flashinfer.group_gemm_fp8_nt_groupwise(*arguments, out=out, out_dtype="float16")


def test_one_alpha_for_all_experts() -> None:
    call = make_call("nvfp4", scale_layout="swizzled_128x4_whole", alpha=False)
    arguments = (call.a.values, call.w.values, call.a.scales, call.w.scales, call.m_indptr)
    y = flashinfer.grouped_mm_fp4(*arguments, numpy.float32([0.25]), out_dtype="float32")
    numpy.testing.assert_array_equal(y, 0.25 * call.run())
    with pytest.raises(ValueError, match=r"^alpha = shape \(6,\): allowed is shape \(1\)"):
        flashinfer.grouped_mm_fp4(*arguments, numpy.ones(6, numpy.float32))
    call = make_call("nvfp4", alpha=False)
    arguments = (call.a.values, call.w.values, call.a.scales, call.w.scales, call.m_indptr)
    empty = flashinfer.group_gemm_nvfp4_nt_groupwise(*arguments, numpy.ones(0, numpy.float32), out_dtype="float32")
    numpy.testing.assert_array_equal(empty, call.run())


def test_what_only_chooses_a_kernel_changes_nothing() -> None:
    call = make_call("mxfp4")
    arguments = (call.a.values, call.w.values, call.a.scales, call.w.scales, call.m_indptr)
    y = flashinfer.group_gemm_mxfp4_nt_groupwise(
        *arguments, mma_sm=2, tile_n=256, tile_k=256, swap_ab=False, out_dtype="float32"
    )
    numpy.testing.assert_array_equal(y, call.run())
    call = make_call("fp8_block")
    arguments = (call.a.values, call.w.values, call.a.scales, call.w.scales, call.m_indptr)
    y = flashinfer.group_gemm_fp8_nt_groupwise(
        *arguments, mma_sm=2, backend="cutile", segment_alignment=128, out_dtype="float32"
    )
    numpy.testing.assert_array_equal(y, call.run())
    call = make_call("bf16")
    y = flashinfer.grouped_mm_bf16(
        call.a.values, call.w.values, call.m_indptr, out_dtype="float32", backend="cake", tactic=3
    )
    numpy.testing.assert_array_equal(y, call.run())


def test_what_is_refused_says_why() -> None:
    call = make_call("fp8_block")
    arguments = (call.a.values, call.w.values, call.a.scales, call.w.scales, call.m_indptr)
    with pytest.raises(NotImplementedError, match=r"^scale_granularity_mnk = \(1, 1, 128\): ") as refused:
        flashinfer.group_gemm_fp8_nt_groupwise(*arguments, scale_granularity_mnk=(1, 1, 128))
    assert refused.value.argument == "scale_granularity_mnk"  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="^scale_major_mode = M: allowed is MN or K"):
        flashinfer.group_gemm_fp8_nt_groupwise(*arguments, scale_major_mode="M")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="^backend = cudnn: allowed is one of trtllm, cutile"):
        flashinfer.group_gemm_fp8_nt_groupwise(*arguments, backend="cudnn")  # type: ignore[arg-type]
    call = make_call("mxfp4_a4", scale_layout="swizzled_128x4_whole")
    arguments = (call.a.values, call.w.values, call.a.scales, call.w.scales, call.m_indptr)
    with pytest.raises(NotImplementedError, match="^alpha = given: "):
        flashinfer.grouped_mm_fp4(*arguments, numpy.ones(1, numpy.float32), block_size=32)
    with pytest.raises(ValueError, match="^block_size = 64: "):
        flashinfer.grouped_mm_fp4(*arguments, block_size=64)


def test_errors_name_flashinfers_arguments() -> None:
    call = make_call("mxfp8", scale_layout="swizzled_128x4_whole")
    a, b, m_indptr = call.a.values, call.w.values, call.m_indptr
    good = {"a": a, "b": b, "a_descale": call.a.scales, "b_descale": call.w.scales, "m_indptr": m_indptr}
    assert relative(flashinfer.grouped_mm_mxfp8(**good, out_dtype="float32"), call.run()) == 0
    bad: list[tuple[type[Exception], str, Any]] = [
        (TypeError, "a", a.astype(numpy.float32)),
        (TypeError, "b", b.astype(numpy.int8)),
        (ValueError, "a", a[:, ::2]),
        (ValueError, "a_descale", call.a.scales[:64].copy()),
        (TypeError, "b_descale", call.w.scales.astype(numpy.float32)),
        (TypeError, "m_indptr", m_indptr.astype(numpy.int64)),
        (ValueError, "m_indptr", m_indptr[::-1].copy()),
        (ValueError, "out", numpy.zeros((26, 36), numpy.float32)),
        (ValueError, "out_dtype", "int8"),
    ]
    for kind, name, value in bad:
        with pytest.raises(kind) as refused:
            flashinfer.grouped_mm_mxfp8(**{**good, name: value})
        assert str(refused.value).startswith(f"{name} = ")
        assert refused.value.argument == name  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"^a = shape \(26, 160\): allowed is shape \(26, 96\)"):
        flashinfer.grouped_mm_mxfp8(**{**good, "b": b[:, :, :96].copy()})
