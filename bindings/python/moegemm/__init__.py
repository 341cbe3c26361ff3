"""Grouped GEMM of mixture-of-experts layers, in the number formats that inference uses.

Tensors are whatever offers DLPack (NumPy's arrays, torch's tensors, …), on a CPU or an NVIDIA GPU, used in place.
Errors are ``ValueError``, ``TypeError``, ``NotImplementedError`` (valid, but not offered here) and ``MemoryError``;
each names the argument, its value and what is allowed, in its text and as attributes of those names.
"""

from ._bench import bench
from ._core import Problem, ProviderStatus, TensorSpec, variants
from ._core import version as __version__
from ._helpers import (
    Quantized,
    Route,
    combine_alpha,
    convert_a_scales,
    convert_w_scales,
    problem,
    quantize_tokens,
    quantize_weights,
    route,
)
from ._op import Plan, moe_quant_group_gemm, plan
from ._providers import load_plugin, providers

__all__ = [
    "Plan",
    "Problem",
    "ProviderStatus",
    "Quantized",
    "Route",
    "TensorSpec",
    "__version__",
    "bench",
    "combine_alpha",
    "convert_a_scales",
    "convert_w_scales",
    "load_plugin",
    "moe_quant_group_gemm",
    "plan",
    "problem",
    "providers",
    "quantize_tokens",
    "quantize_weights",
    "route",
    "variants",
]
