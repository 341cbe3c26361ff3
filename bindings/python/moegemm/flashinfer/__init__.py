"""FlashInfer's functions for grouped GEMM, with its signatures and layouts, on whatever moegemm runs on.

Code that calls FlashInfer's runs on CPUs and Hopper by naming ``moegemm.flashinfer`` where it imports ``flashinfer``.
The functions lie where FlashInfer has them, and all of them here. Arguments that choose among FlashInfer's kernels are
taken and ignored: ``backend`` (its names only), ``tactic``, ``mma_sm``, ``tile_m``, ``tile_n``, ``tile_k``,
``swap_ab`` and ``segment_alignment``. What this library cannot do raises ``NotImplementedError`` with the reason.
"""

from .gemm import (
    group_gemm_fp8_nt_groupwise,
    group_gemm_mxfp4_nt_groupwise,
    group_gemm_mxfp8_mxfp4_nt_groupwise,
    group_gemm_nvfp4_nt_groupwise,
)
from .grouped_mm import grouped_mm_bf16, grouped_mm_fp4, grouped_mm_fp8, grouped_mm_mxfp8

__all__ = [
    "group_gemm_fp8_nt_groupwise",
    "group_gemm_mxfp4_nt_groupwise",
    "group_gemm_mxfp8_mxfp4_nt_groupwise",
    "group_gemm_nvfp4_nt_groupwise",
    "grouped_mm_bf16",
    "grouped_mm_fp4",
    "grouped_mm_fp8",
    "grouped_mm_mxfp8",
]
