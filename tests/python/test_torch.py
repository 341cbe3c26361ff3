"""torch's tensors, in torch's own types; what needs a GPU is skipped by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest
from conftest import from_bf16, make_call, relative

import moegemm

torch: Any = pytest.importorskip("torch")


def cuda_reason() -> str:
    if not torch.cuda.is_available():
        return "torch finds no CUDA device"
    found = [provider for provider in moegemm.providers() if provider.available and provider.device == "cuda"]
    return "" if found else "no provider for CUDA is available"


needs_cuda = pytest.mark.skipif(bool(cuda_reason()), reason=cuda_reason() or "available")


def quantized(variant: str, dtype: str | None = None) -> tuple[Any, dict[str, Any], numpy.ndarray]:
    """Positional arguments, keywords and NumPy's result of a call, the arguments torch's."""
    call = make_call(variant, dtype=dtype)
    how = {"variant": variant, "dtype": None if dtype is None else getattr(torch, f"float8_{dtype}")}
    m_indptr = torch.from_numpy(call.m_indptr)
    a = moegemm.quantize_tokens(torch.from_numpy(call.tokens), m_indptr, **how)
    w = moegemm.quantize_weights(torch.from_numpy(call.weights), **how)
    keywords = {"variant": variant, "a_scale": a.scales, "b_scale": w.scales, "alpha": moegemm.combine_alpha(a, w)}
    return (a.values, w.values, m_indptr), keywords, call.run()


def to_cuda(arguments: Any, keywords: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    return [tensor.cuda() for tensor in arguments], {
        name: value.cuda() if isinstance(value, torch.Tensor) else value for name, value in keywords.items()
    }


@pytest.mark.parametrize("variant", moegemm.variants())
def test_every_variant_in_torchs_types(variant: str) -> None:
    arguments, keywords, expected = quantized(variant)
    assert all(isinstance(value, torch.Tensor) for value in arguments)
    y = moegemm.moe_quant_group_gemm(*arguments, **keywords)
    assert isinstance(y, torch.Tensor) and y.dtype == torch.bfloat16 and y.shape == (26, 35)
    assert relative(y.float().numpy(), expected) < 0.004
    exact = moegemm.moe_quant_group_gemm(*arguments, **keywords, dst_dtype=torch.float32)
    assert exact.dtype == torch.float32
    numpy.testing.assert_array_equal(exact.numpy(), expected)
    out = torch.full((26, 35), 7, dtype=torch.float16)
    assert moegemm.moe_quant_group_gemm(*arguments, **keywords, out=out) is out
    assert relative(out.float().numpy(), expected) < 0.001


def test_elements_have_torchs_types() -> None:
    (a, w, _), _, _ = quantized("bf16")
    assert (a.dtype, w.dtype) == (torch.bfloat16, torch.bfloat16)
    (a, w, _), keywords, _ = quantized("fp8_token")
    assert (a.dtype, w.dtype) == (torch.float8_e4m3fn, torch.float8_e4m3fn)
    assert keywords["a_scale"].dtype == torch.float32
    (a, w, _), _, _ = quantized("mxfp4_a16")
    assert (a.dtype, w.dtype) == (torch.bfloat16, torch.uint8)


def test_a_tensor_of_e5m2_says_so_itself() -> None:
    (a, w, m_indptr), keywords, expected = quantized("fp8", "e5m2")
    assert a.dtype == torch.float8_e5m2
    y = moegemm.moe_quant_group_gemm(a, w, m_indptr, **keywords, dst_dtype="float32")
    numpy.testing.assert_array_equal(y.numpy(), expected)
    plan = moegemm.plan("fp8", experts=6, n=35, k=160, max_rows=26, alpha=True)
    with pytest.raises(TypeError, match="^scatter_tokens = "):
        plan.run(a, m_indptr, w, alpha=keywords["alpha"])


def test_a_torch_that_does_not_lend_8_bit_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    """As versions of it did not before DLPack had types for them."""
    lend = torch.Tensor.__dlpack__

    def lend_others(tensor: Any, **arguments: Any) -> Any:
        if tensor.dtype in (torch.float8_e4m3fn, torch.float8_e5m2):
            raise BufferError("float8 types are not supported by dlpack")
        return lend(tensor, **arguments)

    for dtype in (None, "e5m2"):
        arguments, keywords, expected = quantized("fp8_token", dtype)
        monkeypatch.setattr(torch.Tensor, "__dlpack__", lend_others)
        monkeypatch.setattr(torch.utils.dlpack, "to_dlpack", lend_others)
        y = moegemm.moe_quant_group_gemm(*arguments, **keywords, dst_dtype="float32")
        numpy.testing.assert_array_equal(y.numpy(), expected)


def test_plans_take_torchs_tensors() -> None:
    (a, w, m_indptr), keywords, expected = quantized("mxfp8")
    plan = moegemm.plan(
        "mxfp8", experts=6, n=35, k=160, max_rows=26, dst_dtype=torch.float32, device=torch.device("cpu")
    )
    packed = plan.pack(w, b_scale=keywords["b_scale"])
    assert isinstance(packed, torch.Tensor) and packed.numel() == plan.packed_bytes
    y = plan.run(a, m_indptr, packed_weights=packed, a_scale=keywords["a_scale"])
    numpy.testing.assert_array_equal(y.numpy(), expected)


def test_parameters_of_a_model_are_taken() -> None:
    (a, w, m_indptr), keywords, expected = quantized("bf16")
    y = moegemm.moe_quant_group_gemm(a, torch.nn.Parameter(w), m_indptr, **keywords, dst_dtype="float32")
    assert not y.requires_grad
    numpy.testing.assert_array_equal(y.numpy(), expected)


def test_what_torch_does_not_lend() -> None:
    (a, w, m_indptr), keywords, _ = quantized("bf16")
    with pytest.raises(TypeError, match="^scatter_tokens = Tensor: "):
        moegemm.moe_quant_group_gemm(a.to_sparse(), w, m_indptr, variant="bf16")
    with pytest.raises(ValueError, match="^scatter_tokens = strides"):
        moegemm.moe_quant_group_gemm(a[:, ::2], w[:, :, ::2].contiguous(), m_indptr, variant="bf16")
    with pytest.raises(TypeError, match="^m_indptr = "):
        moegemm.moe_quant_group_gemm(a, w, m_indptr.long(), **keywords)


def packed_files_round_trip(variant: str, device: str, folder: Path) -> None:
    """Where the device's fastest provider packs this variant."""
    arguments, keywords, expected = quantized(variant)
    if device == "cuda":
        arguments, keywords = to_cuda(arguments, keywords)
    a, w, m_indptr = arguments
    alpha = keywords["alpha"]
    sizes = {"experts": 6, "n": 35, "k": 160, "max_rows": 26}
    plan = moegemm.plan(variant, **sizes, dst_dtype=torch.float32, alpha=alpha is not None, device=device)
    if plan.packed_bytes == 0:
        pytest.skip(f"{plan.provider} does not pack {variant}")
    packed = plan.pack(w, b_scale=keywords["b_scale"])
    plan.save_packed(packed, folder / "layer")
    out = torch.zeros_like(packed)
    assert plan.load_packed(folder / "layer", out=out) is out
    assert torch.equal(out, packed)
    loaded = plan.load_packed(folder / "layer")
    y = plan.run(a, m_indptr, packed_weights=loaded, a_scale=keywords["a_scale"], alpha=alpha)
    again = plan.run(a, m_indptr, packed_weights=packed, a_scale=keywords["a_scale"], alpha=alpha)
    assert torch.equal(y, again) and relative(y.cpu().numpy(), expected) < 1e-4


@pytest.mark.parametrize("variant", ["int8", "nvfp4_a16"])
def test_packed_weights_in_files(variant: str, tmp_path: Path) -> None:
    packed_files_round_trip(variant, "cpu", tmp_path)


@needs_cuda
@pytest.mark.parametrize("variant", moegemm.variants())
def test_packed_weights_in_files_on_a_gpu(variant: str, tmp_path: Path) -> None:
    packed_files_round_trip(variant, "cuda", tmp_path)


@needs_cuda
@pytest.mark.parametrize("variant", moegemm.variants())
def test_every_variant_on_a_gpu(variant: str) -> None:
    arguments, keywords, expected = quantized(variant)
    arguments, keywords = to_cuda(arguments, keywords)
    y = moegemm.moe_quant_group_gemm(*arguments, **keywords)
    assert y.is_cuda and y.dtype == torch.bfloat16
    assert relative(y.float().cpu().numpy(), expected) < 0.005


@needs_cuda
def test_torchs_current_stream_orders_calls() -> None:
    arguments, keywords, expected = quantized("bf16")
    arguments, keywords = to_cuda(arguments, keywords)
    late = torch.zeros_like(arguments[0])
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        torch.cuda._sleep(200_000_000)  # the operands come only after a tenth of a second
        late.copy_(arguments[0])
        weights = torch.nn.Parameter(arguments[1])
        y = moegemm.moe_quant_group_gemm(late, weights, arguments[2], **keywords)
        copy = y.to("cpu", non_blocking=False)
    assert relative(copy.float().numpy(), expected) < 0.005


@needs_cuda
def test_calls_are_captured_in_graphs() -> None:
    call = make_call("bf16")
    arguments, keywords, _ = quantized("bf16")
    (a, w, m_indptr), _ = to_cuda(arguments, keywords)
    plan = moegemm.plan("bf16", experts=6, n=35, k=160, max_rows=26, device=a.device)
    out = torch.zeros((26, 35), dtype=torch.bfloat16, device="cuda")
    plan.run(a, m_indptr, w, out=out)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        plan.run(a, m_indptr, w, out=out)
    other = make_call("bf16", rows=(1, 5, 5, 5, 5, 5))
    a.copy_(torch.from_numpy(other.a.values.view(numpy.int16)).view(torch.bfloat16))
    m_indptr.copy_(torch.from_numpy(other.m_indptr))
    graph.replay()
    torch.cuda.synchronize()
    expected = moegemm.moe_quant_group_gemm(
        other.a.values, call.w.values, other.m_indptr, variant="bf16", dst_dtype="float32"
    )
    assert relative(from_bf16(out.cpu().view(torch.int16).numpy().view(numpy.uint16)), expected) < 0.005
