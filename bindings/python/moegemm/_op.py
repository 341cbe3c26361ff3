"""The op, and plans for those who call it often."""

from __future__ import annotations

import os
from typing import Any

from . import _core
from ._frameworks import (
    Device,
    SupportsDLPack,
    can_allocate,
    copy_to_device,
    device_of,
    empty,
    empty_bytes,
    lend,
    lend_optional,
    library_type,
    on_host,
    parse_device,
    stream_of,
)
from ._frameworks import CPU as _CPU
from ._providers import load_default_plugins


def _one_of(name: str, given: object, other_name: str, other: object) -> tuple[str, object]:
    """Of two names for one argument, that which was used."""
    if given is not None and other is not None:
        raise ValueError(f"{name} = given: allowed is either {name} or {other_name}")
    return (other_name, other) if other is not None else (name, given)


class Plan:
    """A call made ready: for one variant, E, N, K and any routing of up to `max_rows` rows. Made by `plan()`.

    Several threads may run one plan at once, on a GPU where each brings a workspace of its own (`workspace_bytes`).
    """

    def __init__(self, core: _core.Plan) -> None:
        self._core = core

    @property
    def provider(self) -> str:
        """The name of the provider."""
        return self._core.provider

    @property
    def variant(self) -> str:
        return self._core.variant

    @property
    def experts(self) -> int:
        """E"""
        return self._core.experts

    @property
    def n(self) -> int:
        """N, the columns of the result"""
        return self._core.n

    @property
    def k(self) -> int:
        """K, the depth"""
        return self._core.k

    @property
    def max_rows(self) -> int:
        """The largest M"""
        return self._core.max_rows

    @property
    def dst_dtype(self) -> str:
        return self._core.dst_dtype

    @property
    def scale_layout(self) -> str:
        return self._core.scale_layout

    @property
    def device(self) -> tuple[int, int]:
        """DLPack's device type and number"""
        return self._core.device

    @property
    def workspace_bytes(self) -> int:
        """Of the workspace of a call; 0 for none."""
        return self._core.workspace_bytes

    @property
    def packed_bytes(self) -> int:
        """Of the packed weights; 0 where this plan does not pack."""
        return self._core.packed_bytes

    @property
    def kernels(self) -> list[str]:
        """The names of what a call launches."""
        return self._core.kernels

    def tensors(self, rows: int) -> list[_core.TensorSpec]:
        """Name, type and shape of each tensor of a call with so many rows."""
        return self._core.tensors(rows)

    def __repr__(self) -> str:
        return (
            f"<moegemm.Plan {self.variant} by {self.provider}: E {self.experts}, N {self.n}, K {self.k}, "
            f"up to {self.max_rows} rows>"
        )

    def pack(
        self,
        experts_weight: SupportsDLPack,
        *,
        b_scale: SupportsDLPack | None = None,
        experts_scale: SupportsDLPack | None = None,
        out: SupportsDLPack | None = None,
        stream: Any = None,
    ) -> Any:
        """Re-orders weights and their scales once, for `run(…, packed_weights=…)`.

        Returns `packed_bytes` bytes, uint8: `out`, or a new tensor in the framework of `experts_weight`. Raises
        ``NotImplementedError`` where the plan does not pack.
        """
        number = stream_of(self.device, stream)
        w = lend(experts_weight, "experts_weight", number)
        name, scale = _one_of("b_scale", b_scale, "experts_scale", experts_scale)
        if out is None:
            out = empty_bytes(experts_weight, self.device, self.packed_bytes, "out")
        target = lend(out, "out", number, writable=True)
        self._core.pack(w, lend_optional(scale, name, number), target, number)
        return out

    def save_packed(self, packed_weights: SupportsDLPack, path: str | os.PathLike[str]) -> None:
        """Writes what `pack` made to a file, for `load_packed` of a plan by the same provider for the same weights.

        On a GPU, `packed_weights` is a tensor of torch's, ready on its current stream. Raises ``OSError`` for a place
        that cannot be written to, ``NotImplementedError`` where the provider's packed weights are for one plan alone.
        """
        self._core.save_packed(lend(on_host(packed_weights), "packed_weights"), path)

    def load_packed(self, path: str | os.PathLike[str], *, out: SupportsDLPack | None = None) -> Any:
        """Reads what `save_packed` wrote, for `run(…, packed_weights=…)`.

        Returns `packed_bytes` bytes, uint8: `out`, or a new array of NumPy's, on a GPU a tensor of torch's. Raises
        ``ValueError`` for a file of another provider, version, variant, layout or size, and for a damaged one; then
        `out` means nothing. ``OSError`` for one that cannot be read.
        """
        on_cpu = self.device[0] == _CPU
        host: Any = out if on_cpu and out is not None else empty_bytes(None, (_CPU, 0), self.packed_bytes, "out")
        self._core.load_packed(lend(host, "out", writable=True), path)
        return host if on_cpu else copy_to_device(host, self.device, out, "out")

    def run(
        self,
        scatter_tokens: SupportsDLPack,
        m_indptr: SupportsDLPack,
        experts_weight: SupportsDLPack | None = None,
        *,
        a_scale: SupportsDLPack | None = None,
        b_scale: SupportsDLPack | None = None,
        per_token_scale: SupportsDLPack | None = None,
        experts_scale: SupportsDLPack | None = None,
        alpha: SupportsDLPack | None = None,
        packed_weights: SupportsDLPack | None = None,
        out: SupportsDLPack | None = None,
        workspace: SupportsDLPack | None = None,
        host_m_indptr: SupportsDLPack | None = None,
        stream: Any = None,
    ) -> Any:
        """Computes y; the arguments are those of `moe_quant_group_gemm`, and:

        packed_weights: what `pack` made; `experts_weight` and its scale are not needed then.
        workspace: uint8, at least `workspace_bytes`; without one, the plan brings memory of the host, or it is
            allocated in the framework of `scatter_tokens`.
        """
        number = stream_of(self.device, stream)
        return _run(
            self._core,
            scatter_tokens,
            lend(scatter_tokens, "scatter_tokens", number),
            lend_optional(experts_weight, "experts_weight", number),
            lend(m_indptr, "m_indptr", number),
            _one_of("a_scale", a_scale, "per_token_scale", per_token_scale),
            _one_of("b_scale", b_scale, "experts_scale", experts_scale),
            alpha,
            packed_weights,
            out,
            workspace,
            host_m_indptr,
            number,
        )


def _run(
    core: _core.Plan,
    like: object,
    a: _core.TensorView,
    w: _core.TensorView | None,
    m_indptr: _core.TensorView,
    a_scale: tuple[str, object],
    w_scale: tuple[str, object],
    alpha: object,
    packed_weights: object,
    out: object,
    workspace: object,
    host_m_indptr: object,
    stream: int,
) -> Any:
    """One call, with the tensors that are already lent; what it allocates is of `like`'s framework."""
    device = core.device
    if out is None:
        rows = a.shape[0] if a.shape else 0
        out = empty(like, device, (rows, core.n), core.dst_dtype, "out")
    if workspace is None and device[0] != _CPU and core.workspace_bytes > 0:
        workspace = empty_bytes(like, device, core.workspace_bytes, "workspace")
    core.run(
        a=a,
        m_indptr=m_indptr,
        w=w,
        a_scale=lend_optional(a_scale[1], a_scale[0], stream),
        w_scale=lend_optional(w_scale[1], w_scale[0], stream),
        alpha=lend_optional(alpha, "alpha", stream),
        y=lend(out, "out", stream, writable=True),
        packed_w=lend_optional(packed_weights, "packed_weights", stream),
        workspace=None if workspace is None else lend(workspace, "workspace", stream, writable=True),
        host_m_indptr=lend_optional(host_m_indptr, "host_m_indptr"),
        stream=stream,
    )
    return out


def plan(
    variant: str,
    *,
    experts: int,
    n: int,
    k: int,
    max_rows: int,
    dst_dtype: Any = None,
    alpha: bool = False,
    a_dtype: Any = None,
    w_dtype: Any = None,
    scale_layout: str | None = None,
    device: Device = "cpu",
    provider: str | None = None,
    threads: int = 0,
    kernel: str = "",
    inexact: bool = False,
) -> Plan:
    """Makes a plan, which serves all routings of up to `max_rows` rows over `experts` experts.

    dst_dtype: "bfloat16" (the default), "float16" or "float32", or torch's or NumPy's type of that name.
    alpha: whether calls give alpha (fp8, nvfp4, nvfp4_a16).
    a_dtype, w_dtype: "e5m2" where 8-bit floats are not e4m3.
    scale_layout: of block scales; the variant's default where None.
    device: "cpu", "cuda" or "cuda:1".
    provider: by name; None for the fastest that works on the device and supports this.
    threads: on a CPU; 0 for all that the process may run on.
    kernel: a kernel family by its name, for tests and comparisons.
    inexact: whether operands may be rounded where that lets a faster kernel run.
    """
    load_default_plugins()
    return Plan(
        _core.plan(
            variant=variant,
            experts=experts,
            n=n,
            k=k,
            max_rows=max_rows,
            a_dtype=library_type(a_dtype),
            w_dtype=library_type(w_dtype),
            dst_dtype=library_type(dst_dtype),
            scale_layout=scale_layout,
            has_alpha=alpha,
            device=parse_device(device),
            provider=provider,
            threads=threads,
            kernel=kernel,
            inexact=inexact,
        )
    )


def moe_quant_group_gemm(
    scatter_tokens: SupportsDLPack,
    experts_weight: SupportsDLPack,
    m_indptr: SupportsDLPack,
    *,
    variant: str,
    a_scale: SupportsDLPack | None = None,
    b_scale: SupportsDLPack | None = None,
    per_token_scale: SupportsDLPack | None = None,
    experts_scale: SupportsDLPack | None = None,
    alpha: SupportsDLPack | None = None,
    dst_dtype: Any = None,
    a_dtype: Any = None,
    w_dtype: Any = None,
    scale_layout: str | None = None,
    out: SupportsDLPack | None = None,
    provider: str | None = None,
    workspace: SupportsDLPack | None = None,
    host_m_indptr: SupportsDLPack | None = None,
    stream: Any = None,
) -> Any:
    """y[rows of e] = dequantised scatter_tokens[rows of e] · dequantised experts_weight[e]ᵀ, for every expert e.

    scatter_tokens: (M, K), or (M, K/2) bytes of two e2m1 each; rows packed by expert.
    experts_weight: (E, N, K), or (E, N, K/2) bytes.
    m_indptr: (E+1) int32; expert e owns rows [m_indptr[e], m_indptr[e+1]).
    variant: one of `variants()`; shapes and meaning of the scales follow from it (docs/contract.md).
    a_scale, b_scale: block scales; per_token_scale, experts_scale: other names of theirs, those of int8 and fp8_token.
    alpha: (1) float32 for fp8, (E) for nvfp4 and nvfp4_a16; optional.
    dst_dtype: of the result: "bfloat16", "float16" or "float32"; None for that of `out`, or bfloat16.
    a_dtype, w_dtype: "e5m2" where bytes do not hold e4m3 and the tensor's own type does not say so.
    scale_layout: of block scales; the variant's default where None.
    out: (M, N), written to and returned; else a new tensor in the framework of `scatter_tokens`. NumPy has no bfloat16:
        its arrays hold it as uint16.
    provider: by name; None for the fastest that works on the tensors' device and supports the call.
    workspace: bytes of a GPU's, for a provider that needs some. With torch's tensors it is allocated. With another
        framework's and neither a workspace nor a provider given, the provider is one that needs none, if there is one.
    host_m_indptr: a copy of m_indptr in the host's memory, for providers that need one.
    stream: a CUDA stream, as a number or an object of torch's; None for torch's current one, or the default stream.

    All tensors are on one device. On a GPU the call returns before the work is done, as torch's calls do. Who calls
    often makes a `plan()` once, and packs the weights.
    """
    load_default_plugins()
    number = stream_of(device_of(scatter_tokens), stream)
    if dst_dtype is None and out is not None:
        dst_dtype = lend(out, "out", number).dtype  # None for uint16, which is bfloat16, the default
    a = lend(scatter_tokens, "scatter_tokens", number)
    w = lend(experts_weight, "experts_weight", number)
    made = _core.plan_call(
        a=a,
        w=w,
        variant=variant,
        a_dtype=library_type(a_dtype),
        w_dtype=library_type(w_dtype),
        dst_dtype=library_type(dst_dtype),
        scale_layout=scale_layout,
        has_alpha=alpha is not None,
        provider=provider,
        without_workspace=workspace is None and not can_allocate(scatter_tokens, a.device),
    )
    return _run(
        made,
        scatter_tokens,
        a,
        w,
        lend(m_indptr, "m_indptr", number),
        _one_of("a_scale", a_scale, "per_token_scale", per_token_scale),
        _one_of("b_scale", b_scale, "experts_scale", experts_scale),
        alpha,
        None,
        out,
        workspace,
        host_m_indptr,
        number,
    )
