"""Checked by mypy, never run: uses of the package that its types allow, and, marked, some that they do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy

import moegemm
from moegemm.flashinfer import group_gemm_fp8_nt_groupwise, grouped_mm_fp8


def allowed(a: numpy.ndarray, w: numpy.ndarray, m_indptr: numpy.ndarray) -> list[str]:
    y = moegemm.moe_quant_group_gemm(a, w, m_indptr, variant="bf16", dst_dtype=numpy.float32, out=a)
    plan: moegemm.Plan = moegemm.plan("bf16", experts=8, n=64, k=64, max_rows=128, device="cpu")
    packed = plan.pack(w)
    plan.run(a, m_indptr, packed_weights=packed, out=y)
    plan.save_packed(packed, "layer.packed")
    plan.run(a, m_indptr, packed_weights=plan.load_packed(Path("layer.packed")), out=y)
    route: moegemm.Route = moegemm.route(64, 8, 2, routing="zipf:1", seed=1)
    quantized: moegemm.Quantized = moegemm.quantize_tokens(a, route.m_indptr, variant="int8")
    moegemm.combine_alpha(quantized, moegemm.quantize_weights(w, variant="int8"))
    grouped_mm_fp8(a, w, m_indptr, out_dtype="float32", tactic=2)
    flops: int = moegemm.problem({"num_tokens": 4}).flops
    records: list[dict[str, Any]] = moegemm.bench({"num_tokens": [4, flops]}, filters={"topk": 2}, limit=len("x"))
    moegemm.bench(["workload.json"], providers=["cpu"], dry_run=bool(records))
    size: int = plan.workspace_bytes + plan.tensors(1)[0].shape[0]
    return [provider.name for provider in moegemm.providers() if provider.available and size]


def refused(a: numpy.ndarray) -> None:
    moegemm.moe_quant_group_gemm(a, a, a)  # type: ignore[call-arg]
    moegemm.plan("bf16", experts="8", n=64, k=64, max_rows=128)  # type: ignore[arg-type]
    moegemm.quantize_tokens([1.0], a, variant="int8")  # type: ignore[arg-type]
    moegemm.providers()[0].nickname  # type: ignore[attr-defined]
    moegemm.route(64, 8, 2).m_indptr.no_such  # type: ignore[attr-defined]
    moegemm.bench(limit="all")  # type: ignore[arg-type]
    group_gemm_fp8_nt_groupwise(a, a, a, a, a, scale_major_mode="M")  # type: ignore[arg-type]
