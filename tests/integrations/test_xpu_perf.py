"""The providers of integrations/xpu_perf in a stand-in for the suite."""

from __future__ import annotations

import pickle
import sys
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
from conftest import ROOT, from_bf16, relative
from stand_ins import HAS_TORCH, function_calls, size_of, suite

import moegemm

__all__ = ["suite"]  # the fixture

OP = "moe_quant_group_gemm"
BACKEND = SimpleNamespace(get_torch_device_name=lambda: "cpu")
QUADRUPLES = {
    "bf16": ("bfloat16", "bfloat16", "bfloat16"),
    "int8": ("int8", "int8", "int8"),
    "fp8": ("fp8_e4m3", "fp8_e4m3", "fp8"),
    "fp8_token": ("float8", "float8", "float8"),
    "fp8_block": ("fp8_e4m3", "fp8_e4m3", "fp8_block"),
    "mxfp8": ("mxfp8", "mxfp8", "mxfp8"),
    "mxfp4": ("mxfp4", "mxfp4", "mxfp4"),
    "mxfp4_a4": ("mxfloat4", "mxfloat4", "mxfloat4"),
    "mxfp4_a16": ("bfloat16", "mxfp4", "bfloat16"),
    "nvfp4": ("nvfp4", "nvfp4", "nvfp4"),
    "nvfp4_a16": ("bfloat16", "nvfp4", "bfloat16"),
}
FLASHINFER = {
    "bf16": "grouped_mm_bf16",
    "fp8": "grouped_mm_fp8",
    "fp8_block": "group_gemm_fp8_nt_groupwise",
    "mxfp4": "group_gemm_mxfp8_mxfp4_nt_groupwise",  # what its older name stands for
    "nvfp4": "group_gemm_nvfp4_nt_groupwise",
}
CASES = [("moegemm", variant) for variant in QUADRUPLES] + [("flashinfer", variant) for variant in FLASHINFER]
E, N, K = 4, 384, 256


def arguments(variant: str, **changed: Any) -> dict[str, Any]:
    """37 rows over this rank's 4 experts: 10, 9, 9, 9."""
    dtype, w_dtype, compute_dtype = QUADRUPLES[variant]
    case = {
        "arg_type": "llm", "num_tokens": 37, "num_experts": 8, "topk": 2, "ep_size": 2, "ep_rank": 1,
        "hidden_size": K, "new_hidden_size": N, "dtype": dtype, "w_dtype": w_dtype, "compute_dtype": compute_dtype,
    }  # fmt: skip
    return {**case, **changed}


def make(suite: Any, provider: str, variant: str, **changed: Any) -> Any:
    return suite.OP_MAPPING[OP][provider](arguments(variant, **changed), BACKEND)


def operands(op: Any, seed: int) -> dict[str, Any]:
    """Quantised tensors of the case, as NumPy's, and a poisoned result."""
    random = numpy.random.default_rng(seed)
    m_indptr = numpy.array(op.m_indptr, numpy.int32)
    how = {"variant": op.problem.variant, "scale_layout": op.problem.scale_layout, "alpha": op.problem.has_alpha}
    a = moegemm.quantize_tokens(random.standard_normal((op.rows, K), numpy.float32), m_indptr, **how)
    w = moegemm.quantize_weights(random.standard_normal((E, N, K), numpy.float32), **how)
    alpha = moegemm.combine_alpha(a, w)
    y = numpy.full((op.rows, N), 0x7FC0, numpy.uint16)
    tensors = {"scatter_tokens": a.values, "experts_weight": w.values, "m_indptr": m_indptr, "y": y, "alpha": alpha}
    scales = (
        ("per_token_scale", "experts_scale") if "per_token_scale" in op.input_tensor_info else ("a_scale", "b_scale")
    )
    tensors |= {scales[0]: a.scales, scales[1]: w.scales}
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def test_providers_are_registered(suite: Any) -> None:
    assert set(suite.OP_MAPPING[OP]) == {"moegemm", "flashinfer"}
    for provider, made in suite.OP_MAPPING[OP].items():
        assert pickle.loads(pickle.dumps(made)) is made  # the suite sends it to its processes
        assert make(suite, provider, "bf16").extra_providers == [provider]


@pytest.mark.parametrize(("provider", "variant"), CASES)
def test_tensors_and_sizes(suite: Any, provider: str, variant: str) -> None:
    op = make(suite, provider, variant)
    padded = provider == "flashinfer" and FLASHINFER[variant].startswith("group_gemm")
    assert op.m_indptr == ([0, 12, 24, 36, 48] if padded else [0, 10, 19, 28, 37])
    infos = {**op.input_tensor_info, **op.output_tensor_info}
    for name, tensor in operands(op, 1).items():
        if name != "m_indptr":
            assert tuple(infos[name].shape) == tensor.shape, name
            assert size_of(infos[name]) == tensor.nbytes, name
    assert infos["experts_token_count"].shape == infos["experts_token_offset"].shape == [E]
    assert (
        op.tensor_size >= op.input_tensor_size + op.output_tensor_size == sum(size_of(info) for info in infos.values())
    )
    # The contract's counts are those of the case, padded or not.
    assert (op.write_bytes, op.calc_flops) == (2 * 37 * N, 2 * 37 * K * N)
    assert op.io_bytes == op.read_bytes + op.write_bytes
    if not padded:
        assert (op.read_bytes, op.write_bytes) == (op.input_tensor_size, op.output_tensor_size)
    if variant == "int8":
        assert op.read_bytes == 37 * K + 4 * 37 + E * N * K + 4 * E * N + 8 * E
    if variant == "mxfp4":
        assert (
            op.read_bytes == 37 * K + E * N * K // 2 + 128 * ((37 + 127 * E) // 128) * K // 32 + E * N * K // 32 + 8 * E
        )


@pytest.mark.parametrize(("provider", "variant"), CASES)
def test_runs(suite: Any, provider: str, variant: str) -> None:
    op = make(suite, provider, variant)
    tensors = operands(op, 2)
    y = from_bf16(op.core_run(tensors))
    named = {name: tensor for name, tensor in tensors.items() if name != "y"}
    expected = moegemm.moe_quant_group_gemm(
        **named, variant=variant, scale_layout=op.problem.scale_layout, dst_dtype="float32", provider="reference"
    )
    assert relative(y, expected) < 0.004
    assert function_calls == ([FLASHINFER[variant]] if provider == "flashinfer" else [])


@pytest.mark.parametrize(("provider", "variant"), [(p, v) for p, v in CASES if v in ("fp8", "nvfp4")])
def test_without_alpha(suite: Any, provider: str, variant: str) -> None:
    op = make(suite, provider, variant, alpha=False)
    tensors = operands(op, 4)
    assert "alpha" not in tensors and "alpha" not in op.input_tensor_info
    y = from_bf16(op.core_run(tensors))
    named = {name: tensor for name, tensor in tensors.items() if name != "y"}
    expected = moegemm.moe_quant_group_gemm(
        **named, variant=variant, scale_layout=op.problem.scale_layout, dst_dtype="float32", provider="reference"
    )
    assert relative(y, expected) < 0.004


def test_k_major_scales(suite: Any) -> None:
    for provider in ("moegemm", "flashinfer"):
        op = make(suite, provider, "fp8_block", scale_layout="k_major", dst_dtype="float16")
        tensors = operands(op, 3)
        tensors["y"] = numpy.full((op.rows, N), numpy.nan, numpy.float16)
        scales = {name: tensors[name] for name in ("a_scale", "b_scale")}
        expected = moegemm.moe_quant_group_gemm(
            tensors["scatter_tokens"], tensors["experts_weight"], tensors["m_indptr"], variant="fp8_block",
            scale_layout="k_major", dst_dtype="float32", provider="reference", **scales,
        )  # fmt: skip
        assert relative(op.core_run(tensors), expected) < 0.001


@pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
@pytest.mark.parametrize(("provider", "variant"), CASES)
def test_tensors_that_the_suite_creates(suite: Any, provider: str, variant: str) -> None:
    op = make(suite, provider, variant)
    for tensors in op.create_tensors(2):
        for name, info in {**op.input_tensor_info, **op.output_tensor_info}.items():
            assert list(tensors[name].shape) == info.shape and tensors[name].dtype == info.dtype
        y = op.core_run(tensors)
        assert y.isfinite().all() and y.float().std() > 0.1
    if provider == "moegemm":
        assert tensors["packed_weights"].numel() == op.plan.packed_bytes > 0


def test_what_is_refused(suite: Any) -> None:
    for variant in set(QUADRUPLES) - set(FLASHINFER):
        with pytest.raises(ValueError, match=f"no function for {variant}, but for bf16, fp8, fp8_block, mxfp4, nvfp4"):
            make(suite, "flashinfer", variant)
    with pytest.raises(ValueError, match="multiples of 128, not N 192 and K 256"):
        make(suite, "flashinfer", "fp8_block", new_hidden_size=192)
    with pytest.raises(ValueError, match="no scales of layout linear"):
        make(suite, "flashinfer", "nvfp4", scale_layout="linear")
    for provider in ("flashinfer", "moegemm"):
        with pytest.raises(ValueError, match="^dtype"):
            make(suite, provider, "bf16", dtype="int7")
        with pytest.raises(ValueError, match="^hidden_size = 100"):
            make(suite, provider, "mxfp4", hidden_size=100)


def test_a_provider_without_its_package_is_absent(suite: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("flashinfer", "flashinfer.gemm", "flashinfer.grouped_mm"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "xpu_perf_provider_flashinfer.moe_quant_group_gemm")
    with pytest.raises(ImportError, match="flashinfer"):  # the suite prints it, and goes on
        suite.load(ROOT / "integrations" / "xpu_perf" / "GPU" / "ops" / "flashinfer")
    assert not suite.OP_MAPPING
