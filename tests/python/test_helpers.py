"""Routing against xpu-perf's own results, quantisation, the order of scales."""

from __future__ import annotations

import json
from pathlib import Path

import numpy
import pytest
from conftest import ROOT, make_call

import moegemm

DATA = ROOT / "tests" / "data"


def test_balanced_routing_is_that_of_xpu_perf() -> None:
    cases = json.loads((DATA / "moe_tokens_info.json").read_text())
    for case in cases["full"]:
        expected = case["expected"]
        made = moegemm.route(**case["args"])
        offsets = [*expected["expert_dispatch_token_offset"], expected["dispatch_tokens"]]
        assert made.m_indptr.dtype == numpy.int32 and made.m_indptr.tolist() == offsets
        assert made.scatter_token_id is not None and made.scatter_token_weight is not None
        assert made.all_select_experts is not None and made.all_select_weights is not None
        assert made.scatter_token_id.tolist() == expected["scatter_token_id"]
        numpy.testing.assert_allclose(made.scatter_token_weight, expected["scatter_token_weight"])
        assert made.all_select_experts.tolist() == expected["all_select_experts"]
        numpy.testing.assert_allclose(made.all_select_weights, expected["all_select_weights"])
    for case in cases["counts"]:
        made = moegemm.route(**case["args"])
        assert numpy.diff(made.m_indptr).tolist() == case["expert_dispatch_token_count"]


def test_seeded_routings() -> None:
    for case in json.loads((DATA / "routing" / "seeded_counts.json").read_text()):
        made = moegemm.route(
            case["num_tokens"], case["num_experts"], case["topk"], routing=case["routing"], seed=case["seed"]
        )
        assert numpy.diff(made.m_indptr).tolist() == case["counts"]
        assert made.all_select_experts is not None
        first = made.all_select_experts[: len(case["first_tokens"])]
        assert [sorted(token) for token in first.tolist()] == [sorted(token) for token in case["first_tokens"]]


def test_recorded_counts_name_no_tokens(tmp_path: Path) -> None:
    (tmp_path / "counts.json").write_text("[5, 0, 2, 1]")
    made = moegemm.route(4, 4, 2, routing=f"counts:{tmp_path / 'counts.json'}")
    assert made.m_indptr.tolist() == [0, 5, 5, 7, 8]
    assert made[1:] == (None, None, None, None)


def test_int8_quantisation_is_that_of_its_definition() -> None:
    call = make_call("int8")
    largest = abs(call.tokens).max(axis=1)
    numpy.testing.assert_allclose(call.a.scales, largest / 127, rtol=1e-6)
    assert abs(call.a.values * call.a.scales[:, None] - call.tokens).max() <= largest.max() / 127 / 2 * 1.001
    assert call.a.values.dtype == numpy.int8 and call.a.alpha is None
    assert call.w.scales.shape == (6, 35)


def test_types_and_shapes_of_what_is_quantised() -> None:
    for variant in moegemm.variants():
        call = make_call(variant)
        plan = moegemm.plan(variant, experts=6, n=35, k=160, max_rows=26, alpha=call.options["alpha"] is not None)
        shapes = {tensor.name: tuple(tensor.shape) for tensor in plan.tensors(26)}
        assert call.a.values.shape == shapes["scatter_tokens"]
        assert call.w.values.shape == shapes["experts_weight"]
        for scales, names in (
            (call.a.scales, ("per_token_scale", "a_scale")),
            (call.w.scales, ("experts_scale", "b_scale")),
        ):
            expected = [shapes[name] for name in names if name in shapes]
            assert ([] if scales is None else [scales.shape]) == expected


def test_alpha_is_the_product_of_both_operands_factors() -> None:
    call = make_call("nvfp4")
    assert call.a.alpha.shape == (1,) and call.w.alpha.shape == (6,)
    numpy.testing.assert_array_equal(moegemm.combine_alpha(call.a, call.w), call.a.alpha * call.w.alpha)
    assert moegemm.combine_alpha(make_call("bf16").a, make_call("bf16").w) is None


@pytest.mark.parametrize("variant", ["mxfp8", "nvfp4"])
def test_scales_are_converted_between_layouts(variant: str) -> None:
    layouts = ("swizzled_128x4", "linear", "swizzled_128x4_whole")
    calls = {layout: make_call(variant, scale_layout=layout) for layout in layouts}
    columns = 160 // (16 if variant == "nvfp4" else 32)
    for source in layouts:
        for target in layouts:
            how = {"columns": columns, "from_layout": source, "to_layout": target}
            a = moegemm.convert_a_scales(calls[source].a.scales, calls[source].m_indptr, **how)
            w = moegemm.convert_w_scales(calls[source].w.scales, rows=35, **how)
            numpy.testing.assert_array_equal(a, calls[target].a.scales)
            numpy.testing.assert_array_equal(w, calls[target].w.scales)


def test_a_problem_on_paper() -> None:
    case = {"num_tokens": 37, "num_experts": 8, "topk": 2, "ep_size": 2, "ep_rank": 1, "hidden_size": 256,
            "new_hidden_size": 384, "nobody_knows_this": True}  # fmt: skip
    problem = moegemm.problem(case)
    assert (problem.variant, problem.dst_dtype, problem.scale_layout, problem.has_alpha) == (
        "int8",
        "bf16",
        "none",
        False,
    )
    assert (problem.experts, problem.n, problem.k, problem.rows) == (4, 384, 256, 37)
    route = moegemm.route(37, 8, 2, ep_size=2, ep_rank=1)
    assert problem.m_indptr == route.m_indptr.tolist() == [0, 10, 19, 28, 37]
    assert problem.read_bytes == 37 * 256 + 4 * 37 + 4 * 384 * 256 + 4 * 4 * 384 + 8 * 4
    assert (problem.write_bytes, problem.flops) == (2 * 37 * 384, 2 * 37 * 384 * 256)
    shapes = {tensor.name: tensor.shape for tensor in problem.tensors()}
    assert shapes["scatter_tokens"] == [37, 256] and shapes["y"] == [37, 384]
    assert {tensor.name: tensor.shape for tensor in problem.tensors(48)}["per_token_scale"] == [48]
    skewed = moegemm.problem(case, routing="zipf:1", seed=3)
    expected = moegemm.route(37, 8, 2, ep_size=2, ep_rank=1, routing="zipf:1", seed=3)
    assert skewed.m_indptr == expected.m_indptr.tolist() != problem.m_indptr
    for key, value in (("topk", 9), ("dtype", "int7"), ("hidden_size", -64), ("ep_size", 3)):
        with pytest.raises(ValueError, match=f"^{key} = {value}: "):
            moegemm.problem({**case, key: value})
    with pytest.raises(ValueError, match="^rows = -1: "):
        problem.tensors(-1)
