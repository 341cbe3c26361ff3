"""The functions of ``flashinfer.grouped_mm``: any number of rows an expert, scales swizzled as one matrix of all."""

from __future__ import annotations

from typing import Any

from .._frameworks import SupportsDLPack, repeated
from ._call import check_backend, grouped_gemm, refuse


def grouped_mm_bf16(
    a: SupportsDLPack,
    b: SupportsDLPack,
    m_indptr: SupportsDLPack,
    out: SupportsDLPack | None = None,
    out_dtype: Any = "bfloat16",
    *,
    backend: str = "cudnn",
    tactic: int = -1,
) -> Any:
    """a (M, K) and b (E, N, K) bfloat16. `out` (M, N) decides over the result's type where it is given."""
    check_backend(backend, ("cudnn", "cake"))
    return grouped_gemm("bf16", a, b, m_indptr, out=out, out_dtype=None if out is not None else out_dtype)


def grouped_mm_fp8(
    a: SupportsDLPack,
    b: SupportsDLPack,
    m_indptr: SupportsDLPack,
    alpha: SupportsDLPack | None = None,
    out: SupportsDLPack | None = None,
    out_dtype: Any = "bfloat16",
    *,
    backend: str = "cudnn",
    tactic: int = -1,
) -> Any:
    """a (M, K) and b (E, N, K) 8-bit floats, alpha (1) float32: the result is multiplied with it."""
    check_backend(backend, ("cudnn",))
    return grouped_gemm("fp8", a, b, m_indptr, alpha=alpha, out=out, out_dtype=None if out is not None else out_dtype)


def grouped_mm_mxfp8(
    a: SupportsDLPack,
    b: SupportsDLPack,
    a_descale: SupportsDLPack,
    b_descale: SupportsDLPack,
    m_indptr: SupportsDLPack,
    out: SupportsDLPack | None = None,
    out_dtype: Any = "bfloat16",
    *,
    backend: str = "cudnn",
    tactic: int = -1,
) -> Any:
    """a (M, K) and b (E, N, K) 8-bit floats; ue8m0 scales of 32 along K, swizzled: a_descale (M', K'/32), all rows as
    one matrix from row 0, b_descale (E, N', K'/32); M' and N' are whole multiples of 128, K'/32 one of 4.
    """
    check_backend(backend, ("cudnn",))
    return grouped_gemm(
        "mxfp8",
        a,
        b,
        m_indptr,
        a_scale=("a_descale", a_descale),
        b_scale=("b_descale", b_descale),
        scale_layout="swizzled_128x4_whole",
        out=out,
        out_dtype=None if out is not None else out_dtype,
    )


def grouped_mm_fp4(
    a: SupportsDLPack,
    b: SupportsDLPack,
    a_descale: SupportsDLPack,
    b_descale: SupportsDLPack,
    m_indptr: SupportsDLPack,
    alpha: SupportsDLPack | None = None,
    out: SupportsDLPack | None = None,
    out_dtype: Any = "bfloat16",
    block_size: int = 16,
    *,
    backend: str = "cudnn",
    tactic: int = -1,
) -> Any:
    """a (M, K/2) and b (E, N, K/2) packed e2m1. block_size 16: e4m3 scales (nvfp4), and alpha (1) float32; 32: ue8m0
    scales (mxfp4), and no alpha here. The scales are swizzled as `grouped_mm_mxfp8` has them.
    """
    check_backend(backend, ("cudnn",))
    if block_size not in (16, 32):
        refuse(ValueError, "block_size", block_size, "16 (nvfp4) or 32 (mxfp4)")
    if alpha is not None and block_size == 32:
        refuse(NotImplementedError, "alpha", "given", "None: the op's mxfp4 has no such factor")
    return grouped_gemm(
        "nvfp4" if block_size == 16 else "mxfp4_a4",
        a,
        b,
        m_indptr,
        a_scale=("a_descale", a_descale),
        b_scale=("b_descale", b_descale),
        # The op has a factor for each expert, cuDNN one for all.
        alpha=None if alpha is None else repeated(alpha, m_indptr, "alpha"),
        scale_layout="swizzled_128x4_whole",
        out=out,
        out_dtype=None if out is not None else out_dtype,
    )
