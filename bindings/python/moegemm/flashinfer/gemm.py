"""The functions of ``flashinfer.gemm``: scales swizzled expert by expert.

FlashInfer's want row offsets that are multiples of 4, and more of N and K; these take what the op takes.
"""

from __future__ import annotations

from typing import Any, Literal

from .._frameworks import SupportsDLPack
from ._call import check_backend, grouped_gemm, refuse

_LAYOUTS = {"MN": "mn_major", "K": "k_major"}


def group_gemm_fp8_nt_groupwise(
    a: SupportsDLPack,
    b: SupportsDLPack,
    a_scale: SupportsDLPack,
    b_scale: SupportsDLPack,
    m_indptr: SupportsDLPack,
    scale_granularity_mnk: tuple[int, int, int] = (1, 128, 128),
    scale_major_mode: Literal["MN", "K"] = "MN",
    mma_sm: int = 1,
    out: SupportsDLPack | None = None,
    out_dtype: Any = None,
    backend: Literal["trtllm", "cutile"] = "trtllm",
    segment_alignment: int = 1,
) -> Any:
    """a (M, K) and b (E, N, K) 8-bit floats; float32 scales of 128 along K and N: "MN": a_scale (⌈K/128⌉, M), b_scale
    (E, ⌈K/128⌉, ⌈N/128⌉); "K": a_scale (M, ⌈K/128⌉), b_scale (E, ⌈N/128⌉, ⌈K/128⌉). out_dtype: None for that of `out`,
    or bfloat16.
    """
    check_backend(backend, ("trtllm", "cutile"))
    if scale_major_mode not in _LAYOUTS:
        refuse(ValueError, "scale_major_mode", scale_major_mode, "MN or K")
    if tuple(scale_granularity_mnk) != (1, 128, 128):
        refuse(
            NotImplementedError,
            "scale_granularity_mnk",
            tuple(scale_granularity_mnk),
            "(1, 128, 128): the op's fp8_block has no other blocks",
        )
    return grouped_gemm(
        "fp8_block",
        a,
        b,
        m_indptr,
        a_scale=("a_scale", a_scale),
        b_scale=("b_scale", b_scale),
        scale_layout=_LAYOUTS[scale_major_mode],
        out=out,
        out_dtype=out_dtype,
    )


def group_gemm_mxfp8_mxfp4_nt_groupwise(
    a: SupportsDLPack,
    b: SupportsDLPack,
    a_scale: SupportsDLPack,
    b_scale: SupportsDLPack,
    m_indptr: SupportsDLPack,
    mma_sm: int = 1,
    tile_m: int = 128,
    tile_n: int = 128,
    tile_k: int = 128,
    swap_ab: bool = True,
    out: SupportsDLPack | None = None,
    out_dtype: Any = None,
) -> Any:
    """a (M, K) 8-bit floats, b (E, N, K/2) packed e2m1; swizzled ue8m0 scales of 32 along K: a_scale (M', K'/32),
    expert e's from row 128·⌊(m_indptr[e] + 127·e)/128⌋ on, M' = 128·⌊(M + 127·E)/128⌋; b_scale (E, N', K'/32).
    """
    return grouped_gemm(
        "mxfp4",
        a,
        b,
        m_indptr,
        a_scale=("a_scale", a_scale),
        b_scale=("b_scale", b_scale),
        out=out,
        out_dtype=out_dtype,
    )


#: FlashInfer's older name of it
group_gemm_mxfp4_nt_groupwise = group_gemm_mxfp8_mxfp4_nt_groupwise


def group_gemm_nvfp4_nt_groupwise(
    a: SupportsDLPack,
    b: SupportsDLPack,
    a_scale: SupportsDLPack,
    b_scale: SupportsDLPack,
    m_indptr: SupportsDLPack,
    alpha: SupportsDLPack | None = None,
    tile_m: int = 128,
    tile_n: int = 128,
    tile_k: int = 128,
    swap_ab: bool = True,
    out: SupportsDLPack | None = None,
    out_dtype: Any = None,
) -> Any:
    """a (M, K/2) and b (E, N, K/2) packed e2m1; e4m3 scales of 16 along K, laid out as those of
    `group_gemm_mxfp8_mxfp4_nt_groupwise`; alpha (E) float32, or empty: none.
    """
    if alpha is not None and tuple(getattr(alpha, "shape", ())) == (0,):
        alpha = None
    return grouped_gemm(
        "nvfp4",
        a,
        b,
        m_indptr,
        a_scale=("a_scale", a_scale),
        b_scale=("b_scale", b_scale),
        alpha=alpha,
        out=out,
        out_dtype=out_dtype,
    )
