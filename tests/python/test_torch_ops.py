"""torch's custom operators: their schemas and shapes, and calls out of torch.compile's graphs."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy
import pytest
from conftest import make_call

import moegemm

torch: Any = pytest.importorskip("torch")
moegemm_torch: Any = pytest.importorskip("moegemm.torch")


def torch_call(variant: str, **how: Any) -> tuple[tuple[Any, Any, Any], dict[str, Any], numpy.ndarray]:
    """Positional arguments, keywords, and NumPy's result in float32."""
    call = make_call(variant, **how)
    m_indptr = torch.from_numpy(call.m_indptr)
    a = moegemm.quantize_tokens(torch.from_numpy(call.tokens), m_indptr, variant=variant)
    w = moegemm.quantize_weights(torch.from_numpy(call.weights), variant=variant)
    alpha = moegemm.combine_alpha(a, w)
    keywords = {"variant": variant, "a_scale": a.scales, "b_scale": w.scales, "alpha": alpha}
    return (a.values, w.values, m_indptr), keywords, call.run()


@pytest.mark.parametrize("variant", moegemm.variants())
def test_operators_are_what_torch_expects_of_one(variant: str) -> None:
    arguments, keywords, _ = torch_call(variant)
    # As bytes: the check itself cannot compare torch's 8-bit floats.
    arguments = tuple(tensor.view(torch.uint8) if "float8" in str(tensor.dtype) else tensor for tensor in arguments)
    scales = [keywords.pop(name) for name in ("a_scale", "b_scale", "alpha")]
    typed = {**keywords, "dst_dtype": torch.float32}
    torch.library.opcheck(torch.ops.moegemm.moe_quant_group_gemm, (*arguments, *scales), typed)
    out = torch.empty((26, 35), dtype=torch.float16)
    torch.library.opcheck(torch.ops.moegemm.moe_quant_group_gemm_out, (*arguments, out, *scales), keywords)


@pytest.mark.parametrize("variant", moegemm.variants())
def test_a_compiled_graph_has_the_same_result(variant: str) -> None:
    arguments, keywords, expected = torch_call(variant)

    def layer(a: Any, w: Any, m_indptr: Any) -> Any:
        return 2 * moegemm_torch.moe_quant_group_gemm(a, w, m_indptr, dst_dtype=torch.float32, **keywords)

    torch._dynamo.reset()  # it counts compilations by the function, not by what that one has caught
    y = torch.compile(layer, fullgraph=True, backend="aot_eager")(*arguments)
    numpy.testing.assert_array_equal(y.numpy(), 2 * expected)


def test_inductor_and_other_numbers_of_rows() -> None:
    (_, w, _), _, _ = torch_call("bf16")

    def layer(a: Any, m_indptr: Any, out: Any) -> Any:
        y = moegemm_torch.moe_quant_group_gemm(torch.relu(a), w, m_indptr, variant="bf16", dst_dtype=torch.float32)
        moegemm_torch.moe_quant_group_gemm(a, w, m_indptr, variant="bf16", out=out)
        return y + out

    compiled = torch.compile(layer, fullgraph=True, dynamic=True)
    for rows in ((3, 0, 17, 1, 0, 5), (1, 2, 3, 4, 5, 6), (0, 0, 0, 0, 9, 0)):
        (a, _, m_indptr), _, _ = torch_call("bf16", rows=rows, seed=rows[0])
        out, again = (torch.full((sum(rows), 35), 7, dtype=torch.bfloat16) for _ in range(2))
        y = compiled(a, m_indptr, out)
        torch.testing.assert_close(y, layer(a, m_indptr, again), rtol=0, atol=0)
        torch.testing.assert_close(out, again, rtol=0, atol=0)
        assert y.abs().max() > 1


def test_an_exported_program_has_the_operator() -> None:
    arguments, keywords, expected = torch_call("fp8_block")

    class Layer(torch.nn.Module):
        def forward(self, a: Any, w: Any, m_indptr: Any, a_scale: Any, b_scale: Any) -> Any:
            return moegemm_torch.moe_quant_group_gemm(
                a, w, m_indptr, variant="fp8_block", a_scale=a_scale, b_scale=b_scale, dst_dtype=torch.float32
            )

    inputs = (*arguments, keywords["a_scale"], keywords["b_scale"])
    program = torch.export.export(Layer(), inputs)
    assert "moegemm.moe_quant_group_gemm" in str(program.graph)
    numpy.testing.assert_array_equal(program.module()(*inputs).numpy(), expected)


def test_errors_are_the_librarys() -> None:
    (a, w, m_indptr), keywords, _ = torch_call("bf16")
    with pytest.raises(ValueError, match="^variant = bf17: "):
        moegemm_torch.moe_quant_group_gemm(a, w, m_indptr, variant="bf17")
    with pytest.raises(TypeError, match="^m_indptr = "):
        moegemm_torch.moe_quant_group_gemm(a, w, m_indptr.long(), **keywords)
    y = moegemm_torch.moe_quant_group_gemm(a, torch.nn.Parameter(w.float()).bfloat16(), m_indptr, **keywords)
    with pytest.raises(RuntimeError):
        y.sum().backward()


def test_importing_the_package_does_not_import_torch() -> None:
    check = "import sys, moegemm, moegemm.flashinfer; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True)
