"""The op as custom operators of torch's, for what traces calls before it makes them: ``torch.compile`` and the like.

Importing this module registers ``torch.ops.moegemm.moe_quant_group_gemm`` and ``…_out``; the function here calls them.
Importing ``moegemm`` does not import torch.
"""

from __future__ import annotations

from typing import Any

import torch  # type: ignore[import-not-found, unused-ignore]

from ._op import moe_quant_group_gemm as _call

__all__ = ["moe_quant_group_gemm"]

_ARGUMENTS = (
    "Tensor scatter_tokens, Tensor experts_weight, Tensor m_indptr, {out}Tensor? a_scale=None, Tensor? b_scale=None, "
    "Tensor? alpha=None, *, str variant, {dst_dtype}str? scale_layout=None, str? provider=None"
)


def _returning(a: Any, w: Any, m_indptr: Any, a_scale: Any = None, b_scale: Any = None, alpha: Any = None,
               *, dst_dtype: Any = torch.bfloat16, **more: Any) -> Any:  # fmt: skip
    return _call(a, w, m_indptr, a_scale=a_scale, b_scale=b_scale, alpha=alpha, dst_dtype=dst_dtype, **more)


def _writing(a: Any, w: Any, m_indptr: Any, out: Any, a_scale: Any = None, b_scale: Any = None, alpha: Any = None,
             **more: Any) -> None:  # fmt: skip
    _call(a, w, m_indptr, a_scale=a_scale, b_scale=b_scale, alpha=alpha, out=out, **more)


def _shape(a: Any, w: Any, *_: Any, dst_dtype: Any = torch.bfloat16, **__: Any) -> Any:
    return a.new_empty((a.shape[0], w.shape[1]), dtype=dst_dtype)


# The schemas are written out: torch would otherwise read them from annotations that have to be its own types.
_returning_op = torch.library.custom_op(
    "moegemm::moe_quant_group_gemm",
    _returning,
    mutates_args=(),
    schema="(" + _ARGUMENTS.format(out="", dst_dtype="ScalarType dst_dtype=bfloat16, ") + ") -> Tensor",
)
_returning_op.register_fake(_shape)
_writing_op = torch.library.custom_op(
    "moegemm::moe_quant_group_gemm_out",
    _writing,
    mutates_args=("out",),
    schema="(" + _ARGUMENTS.format(out="Tensor(a!) out, ", dst_dtype="") + ") -> ()",
)
_writing_op.register_fake(lambda *_, **__: None)


def moe_quant_group_gemm(
    scatter_tokens: Any,
    experts_weight: Any,
    m_indptr: Any,
    *,
    variant: str,
    a_scale: Any = None,
    b_scale: Any = None,
    alpha: Any = None,
    dst_dtype: Any = torch.bfloat16,
    scale_layout: str | None = None,
    out: Any = None,
    provider: str | None = None,
) -> Any:
    """`moegemm.moe_quant_group_gemm` for tensors of torch's, as one node of a traced graph.

    `out` decides over the result's type where it is given. 8-bit floats that are e5m2 have torch's type for them. There
    are no gradients: asking for one is torch's error.
    """
    scales = (a_scale, b_scale, alpha)
    more = {"variant": variant, "scale_layout": scale_layout, "provider": provider}
    if out is None:
        return torch.ops.moegemm.moe_quant_group_gemm(
            scatter_tokens, experts_weight, m_indptr, *scales, dst_dtype=dst_dtype, **more
        )
    torch.ops.moegemm.moe_quant_group_gemm_out(scatter_tokens, experts_weight, m_indptr, out, *scales, **more)
    return out
