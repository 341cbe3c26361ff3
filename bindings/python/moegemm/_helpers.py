"""Routing, quantisation and the order of scales."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from . import _core
from ._frameworks import SupportsDLPack, lend, library_type, like_tensor


class Route(NamedTuple):
    """Which token goes to which expert. Recorded counts name no tokens: all but `m_indptr` is None then."""

    m_indptr: NDArray[numpy.int32]
    """(E+1): expert e of this rank owns rows [m_indptr[e], m_indptr[e+1])."""
    scatter_token_id: NDArray[numpy.int64] | None
    """(M): the token of each row."""
    scatter_token_weight: NDArray[numpy.float64] | None
    """(M): the weight of each row."""
    all_select_experts: NDArray[numpy.int64] | None
    """(num_tokens, topk): the experts of each token, among all ranks'."""
    all_select_weights: NDArray[numpy.float64] | None
    """(num_tokens, topk): their weights."""


class Quantized(NamedTuple):
    """A quantised operand, as the op takes it."""

    values: Any
    """Stored elements."""
    scales: Any
    """In the layout that was asked for; None where the variant has none."""
    alpha: Any
    """float32: what the result must be multiplied with for this operand, see `combine_alpha`; None for nothing."""


def route(
    num_tokens: int,
    num_experts: int,
    topk: int,
    *,
    ep_size: int = 1,
    ep_rank: int = 0,
    routing: str = "balanced",
    seed: int = 0,
) -> Route:
    """Spreads tokens over experts, the same way on every machine.

    routing: "balanced", "uniform", "zipf:<s>" or "counts:<file>" (a JSON array of row counts).
    """
    return Route(
        *_core.route(
            num_tokens=num_tokens,
            num_experts=num_experts,
            topk=topk,
            ep_size=ep_size,
            ep_rank=ep_rank,
            routing=routing,
            seed=seed,
        )
    )


def problem(arguments: Mapping[str, Any], *, routing: str = "balanced", seed: int = 0) -> _core.Problem:
    """Checks the arguments of a case, as a workload spells them, and routes its tokens: what its tensors are, the bytes
    and FLOPs that the op's contract counts. Keys that the op does not know are ignored.
    """
    texts = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in arguments.items()}
    return _core.problem(arguments=texts, routing=routing, seed=seed)


def _quantized(arrays: tuple[Any, Any, Any], like: object, element: str | None) -> Quantized:
    values, scales, alpha = arrays
    return Quantized(
        like_tensor(values, like, element),
        None if scales is None else like_tensor(scales, like),
        None if alpha is None else like_tensor(alpha, like),
    )


def quantize_tokens(
    values: SupportsDLPack,
    m_indptr: SupportsDLPack,
    *,
    variant: str,
    dtype: Any = None,
    scale_layout: str | None = None,
    alpha: bool = True,
) -> Quantized:
    """Quantises tokens, (M, K) float32 in the host's memory, whose rows are packed by expert.

    The largest magnitude of what shares a scale becomes the format's largest number; `include/moegemm/quantize.hpp` has
    the schemes. dtype: "e5m2" for 8-bit floats that are not e4m3. alpha: whether the call will give alpha, for the
    variants that have it. Elements and scales come as uint8, bfloat16 as uint16, but to torch in its own types.
    """
    arrays = _core.quantize_tokens(
        values=lend(values, "values"),
        m_indptr=lend(m_indptr, "m_indptr"),
        variant=variant,
        dtype=library_type(dtype),
        scale_layout=scale_layout,
        alpha=alpha,
    )
    return _quantized(arrays, values, _core.element(variant, "a", library_type(dtype)))


def quantize_weights(
    values: SupportsDLPack,
    *,
    variant: str,
    dtype: Any = None,
    scale_layout: str | None = None,
    alpha: bool = True,
) -> Quantized:
    """Quantises weights, (E, N, K) float32 in the host's memory; the rest is as for `quantize_tokens`."""
    arrays = _core.quantize_weights(
        values=lend(values, "values"),
        variant=variant,
        dtype=library_type(dtype),
        scale_layout=scale_layout,
        alpha=alpha,
    )
    return _quantized(arrays, values, _core.element(variant, "w", library_type(dtype)))


def combine_alpha(tokens: Quantized, weights: Quantized) -> Any:
    """The op's alpha from both operands' factors; None where the variant has none."""
    if weights.alpha is None:
        return None
    factors = None if tokens.alpha is None else [float(factor) for factor in tokens.alpha]
    return like_tensor(_core.combine_alpha(factors, [float(factor) for factor in weights.alpha]), weights.alpha)


def convert_a_scales(
    scales: SupportsDLPack, m_indptr: SupportsDLPack, *, columns: int, from_layout: str, to_layout: str
) -> Any:
    """Re-orders the tokens' one-byte scales between linear, swizzled_128x4 and swizzled_128x4_whole.

    columns: scales along K. The tensors are in the host's memory; padding is written as 0.
    """
    converted = _core.convert_a_scales(
        scales=lend(scales, "scales"),
        m_indptr=lend(m_indptr, "m_indptr"),
        columns=columns,
        from_layout=from_layout,
        to_layout=to_layout,
    )
    return like_tensor(converted, scales)


def convert_w_scales(scales: SupportsDLPack, *, rows: int, columns: int, from_layout: str, to_layout: str) -> Any:
    """The same for the weights' scales; `rows` is N."""
    converted = _core.convert_w_scales(
        scales=lend(scales, "scales"), rows=rows, columns=columns, from_layout=from_layout, to_layout=to_layout
    )
    return like_tensor(converted, scales)
