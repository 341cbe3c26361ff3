"""Every variant from quantisation to result, against the reference provider and against NumPy."""

from __future__ import annotations

import threading

import numpy
import pytest
from conftest import from_bf16, make_call, relative

import moegemm

# How far a product of quantised numbers is from that of the numbers themselves: each format's own rounding.
QUANTISATION = {
    "bf16": 0.004,
    "int8": 0.02,
    "fp8": 0.06,
    "fp8_token": 0.06,
    "fp8_block": 0.06,
    "mxfp8": 0.06,
    "mxfp4": 0.18,
    "mxfp4_a4": 0.25,
    "mxfp4_a16": 0.18,
    "nvfp4": 0.2,
    "nvfp4_a16": 0.15,
}
# Of one rounding to the type of the result, for an element at worst.
ROUNDING = {"bfloat16": 2.0**-8, "float16": 2.0**-11, "float32": 2.0**-20}


def to_numbers(y: numpy.ndarray) -> numpy.ndarray:
    return from_bf16(y) if y.dtype == numpy.uint16 else y.astype(numpy.float32)


def test_there_are_eleven_variants() -> None:
    assert moegemm.variants() == list(QUANTISATION)


@pytest.mark.parametrize("variant", moegemm.variants())
def test_result_is_that_of_the_reference_and_near_the_unquantised_product(variant: str) -> None:
    call = make_call(variant)
    y = call.run()
    assert isinstance(y, numpy.ndarray) and y.dtype == numpy.float32 and y.shape == (26, 35)
    assert relative(y, call.run(provider="reference")) < 2e-6
    assert relative(y, call.product()) < QUANTISATION[variant]


@pytest.mark.parametrize("dst", ROUNDING)
@pytest.mark.parametrize("variant", moegemm.variants())
def test_dst_types_round_the_reference_once(variant: str, dst: str) -> None:
    call = make_call(variant)
    exact = call.run(provider="reference")
    y = to_numbers(call.run(dst_dtype=dst))
    assert numpy.all(numpy.abs(y - exact) <= ROUNDING[dst] * numpy.abs(exact) + 1e-4)


def test_bfloat16_is_the_default_dst_type() -> None:
    y = make_call("bf16").run(dst_dtype=None)
    assert y.dtype == numpy.uint16


def test_int8_is_exact() -> None:
    call = make_call("int8")
    owners = numpy.repeat(numpy.arange(len(call.m_indptr) - 1), numpy.diff(call.m_indptr))
    sums = numpy.einsum("mk,mnk->mn", call.a.values.astype(numpy.int64), call.w.values.astype(numpy.int64)[owners])
    expected = sums.astype(numpy.float32) * call.a.scales[:, None] * call.w.scales[owners]
    numpy.testing.assert_array_equal(call.run(), expected)


def test_bf16_is_the_product_of_the_stored_numbers() -> None:
    call = make_call("bf16")
    owners = numpy.repeat(numpy.arange(len(call.m_indptr) - 1), numpy.diff(call.m_indptr))
    a, w = from_bf16(call.a.values).astype(numpy.float64), from_bf16(call.w.values).astype(numpy.float64)
    assert relative(call.run(), numpy.einsum("mk,mnk->mn", a, w[owners])) < 1e-6


@pytest.mark.parametrize("variant", ["int8", "fp8_token"])
def test_token_and_channel_scales_have_names_of_their_own(variant: str) -> None:
    call = make_call(variant)
    named = call.run(a_scale=None, b_scale=None, per_token_scale=call.a.scales, experts_scale=call.w.scales)
    numpy.testing.assert_array_equal(named, call.run())


@pytest.mark.parametrize("variant", ["fp8", "fp8_token", "fp8_block", "mxfp8"])
def test_e5m2(variant: str) -> None:
    call = make_call(variant, dtype="e5m2")
    y = call.run()
    assert relative(y, call.run(provider="reference")) < 2e-6
    assert relative(y, call.product()) < 0.12  # two bits of fraction
    # Taken for e4m3, the same bytes are other numbers.
    assert relative(call.run(a_dtype=None, w_dtype=None), call.product()) > 0.5


@pytest.mark.parametrize(
    ("variant", "layout"),
    [("fp8_block", "k_major")]
    + [
        (variant, layout)
        for variant in ("mxfp8", "mxfp4", "mxfp4_a4", "mxfp4_a16", "nvfp4", "nvfp4_a16")
        for layout in ("linear", "swizzled_128x4_whole")
    ],
)
def test_scale_layouts_are_other_orders_of_the_same_scales(variant: str, layout: str) -> None:
    other = make_call(variant, scale_layout=layout)
    default = make_call(variant)
    numpy.testing.assert_array_equal(other.run(), default.run())
    if layout != "swizzled_128x4_whole" or other.a.scales is not None:  # the weights' order is the default's there
        with pytest.raises(ValueError, match="^[ab]_scale = "):
            other.run(scale_layout=None)


@pytest.mark.parametrize("variant", ["fp8", "nvfp4", "nvfp4_a16"])
def test_alpha_multiplies_the_result(variant: str) -> None:
    call = make_call(variant)
    alpha = call.options["alpha"]
    assert alpha.dtype == numpy.float32 and alpha.shape == ((1,) if variant == "fp8" else (6,))
    once = call.run(provider="reference")
    numpy.testing.assert_allclose(call.run(alpha=2 * alpha), 2 * once, rtol=1e-4, atol=1e-3)
    # Without it, the factor is 1, in quantisation and in the call.
    without = make_call(variant, alpha=False)
    assert without.options["alpha"] is None
    assert relative(without.run(), without.product()) < QUANTISATION[variant] + 0.1


def test_out_is_written_to_and_returned() -> None:
    call = make_call("fp8_block")
    for dtype in (numpy.float32, numpy.float16, numpy.uint16):
        out = numpy.full((26, 35), 77, dtype)
        assert call.run(out=out, dst_dtype=None) is out
        assert relative(to_numbers(out), call.product()) < QUANTISATION["fp8_block"]


def test_no_rows_is_a_call_like_another() -> None:
    for variant in moegemm.variants():
        assert make_call(variant, rows=(0, 0, 0)).run().shape == (0, 35)


@pytest.mark.parametrize("variant", moegemm.variants())
def test_a_plan_serves_many_routings(variant: str) -> None:
    first = make_call(variant)
    alpha = first.options["alpha"]
    plan = moegemm.plan(variant, experts=6, n=35, k=160, max_rows=40, dst_dtype=numpy.float32, alpha=alpha is not None)
    assert (plan.variant, plan.experts, plan.n, plan.k, plan.max_rows) == (variant, 6, 35, 160, 40)
    assert (plan.dst_dtype, plan.device, plan.provider) == ("f32", (1, 0), "cpu")
    assert plan.kernels
    packed = plan.pack(first.w.values, b_scale=first.w.scales)
    assert packed.nbytes == plan.packed_bytes > 0
    workspace = numpy.empty(plan.workspace_bytes + 64, numpy.uint8)
    workspace = workspace[-workspace.ctypes.data % 64 :]
    for rows in ((3, 0, 17, 1, 0, 5), (0, 0, 0, 0, 0, 40), (1, 1, 1, 1, 1, 1), (0,) * 6):
        call = make_call(variant, rows=rows, seed=sum(rows))
        arguments = {"a_scale": call.a.scales, "alpha": alpha}
        y = plan.run(call.a.values, call.m_indptr, first.w.values, b_scale=first.w.scales, **arguments)
        again = plan.run(call.a.values, call.m_indptr, packed_weights=packed, workspace=workspace, **arguments)
        numpy.testing.assert_array_equal(y, again)
        reference = moegemm.moe_quant_group_gemm(
            call.a.values, first.w.values, call.m_indptr, provider="reference", variant=variant,
            b_scale=first.w.scales, dst_dtype="float32", **arguments,
        )  # fmt: skip
        numpy.testing.assert_allclose(y, reference, rtol=1e-4, atol=1e-3)


def test_a_plan_says_what_its_tensors_are() -> None:
    plan = moegemm.plan("nvfp4", experts=6, n=35, k=160, max_rows=40, alpha=True)
    call = make_call("nvfp4")
    tensors = {tensor.name: (tensor.dtype, tuple(tensor.shape)) for tensor in plan.tensors(26)}
    assert tensors == {
        "scatter_tokens": ("e2m1x2", call.a.values.shape),
        "experts_weight": ("e2m1x2", call.w.values.shape),
        "a_scale": ("ue4m3", call.a.scales.shape),
        "b_scale": ("ue4m3", call.w.scales.shape),
        "alpha": ("f32", (6,)),
        "m_indptr": ("i32", (7,)),
        "y": ("bf16", (26, 35)),
    }
    assert "nvfp4 by cpu" in repr(plan)


def test_threads_may_share_a_plan() -> None:
    call = make_call("mxfp4", rows=(16,) * 8, n=64, k=512)
    plan = moegemm.plan("mxfp4", experts=8, n=64, k=512, max_rows=128, dst_dtype="float32")
    expected = call.run()
    failures: list[object] = []

    def work() -> None:
        for _ in range(20):
            y = plan.run(call.a.values, call.m_indptr, call.w.values, a_scale=call.a.scales, b_scale=call.w.scales)
            if not numpy.array_equal(y, expected):
                failures.append(y)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_default_provider_and_named_ones() -> None:
    status = {provider.name: provider for provider in moegemm.providers()}
    assert list(status)[:8] == ["reference", "cpu", "cuda", "hopper", "flashinfer", "cudnn", "cublas", "onednn"]
    assert status["cpu"].available and status["cpu"].device == "cpu" and status["cpu"].source == "built in"
    assert status["cpu"].variants["bf16"] == ("fp32", "full")
    assert set(status["reference"].variants) == set(moegemm.variants())
    for provider in status.values():
        assert provider.available == (not provider.reason)
        assert provider.available or provider.remedy
    assert status["flashinfer"].device is None and not status["flashinfer"].variants
    for name in ("cpu", "reference"):
        assert moegemm.plan("bf16", experts=1, n=8, k=8, max_rows=8, provider=name).provider == name
