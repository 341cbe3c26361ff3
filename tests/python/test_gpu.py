"""Calls on an NVIDIA GPU without any framework: memory, streams and graphs by the driver's own functions."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import numpy
import pytest
from conftest import Call, make_call, relative
from cuda_tensor import CudaTensor

import moegemm

NAMES = {"uint16": "bf16", "int8": "i8", "uint8": "u8", "int32": "i32", "float32": "f32", "float16": "f16"}


class Driver:
    """CUDA's driver, with the device's primary context, which the runtime of the providers uses, too."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libcuda.so.1")
        self.call("cuInit", ctypes.c_uint(0))
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self.call("cuDeviceGet", ctypes.byref(device), ctypes.c_int(0))
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self.call("cuCtxSetCurrent", context)

    def call(self, function: str, *arguments: Any) -> None:
        status = getattr(self._library, function)(*arguments)
        if status != 0:
            raise RuntimeError(f"{function}: CUDA's driver answers {status}")

    def synchronize(self) -> None:
        self.call("cuCtxSynchronize")

    def stream(self) -> int:
        """One that the default stream does not wait for."""
        stream = ctypes.c_void_p()
        self.call("cuStreamCreate", ctypes.byref(stream), ctypes.c_uint(1))
        assert stream.value
        return stream.value


class DeviceTensor(CudaTensor):
    """A copy of an array in the device's memory."""

    def __init__(self, driver: Driver, array: numpy.ndarray) -> None:
        self._driver = driver
        self._like = array
        memory = ctypes.c_uint64()
        driver.call("cuMemAlloc_v2", ctypes.byref(memory), ctypes.c_size_t(max(array.nbytes, 256)))
        super().__init__(NAMES[array.dtype.name], array.shape, address=memory.value)
        self.write(array)

    def write(self, array: numpy.ndarray) -> None:
        assert array.shape == self._like.shape and array.dtype == self._like.dtype
        array = numpy.ascontiguousarray(array)
        if array.nbytes > 0:
            self._driver.call(
                "cuMemcpyHtoD_v2",
                ctypes.c_uint64(self.address),
                ctypes.c_void_p(array.ctypes.data),
                ctypes.c_size_t(array.nbytes),
            )

    def read(self) -> numpy.ndarray:
        self._driver.synchronize()
        array = numpy.empty_like(self._like)
        if array.nbytes > 0:
            self._driver.call(
                "cuMemcpyDtoH_v2",
                ctypes.c_void_p(array.ctypes.data),
                ctypes.c_uint64(self.address),
                ctypes.c_size_t(array.nbytes),
            )
        return array

    def free(self) -> None:
        self._driver.call("cuMemFree_v2", ctypes.c_uint64(self.address))


def gpu_providers() -> list[moegemm.ProviderStatus]:
    ours = ("hopper", "cuda")  # not the recorder of other tests, which needs no GPU
    return [row for row in moegemm.providers() if row.name in ours and row.available]


def missing() -> str:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        return f"no driver: {error}"
    reasons = [f"{row.name}: {row.reason}" for row in moegemm.providers() if row.name in ("hopper", "cuda")]
    return "" if gpu_providers() else "; ".join(reasons)


pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "available")


@pytest.fixture(scope="module")
def driver() -> Driver:
    return Driver()


@pytest.fixture
def upload(driver: Driver) -> Iterator[Any]:
    made: list[DeviceTensor] = []

    def copy(array: numpy.ndarray | None) -> DeviceTensor | None:
        if array is None:
            return None
        made.append(DeviceTensor(driver, array))
        return made[-1]

    yield copy
    driver.synchronize()
    for tensor in made:
        tensor.free()


def device_call(call: Call, upload: Any) -> tuple[list[Any], dict[str, Any], DeviceTensor]:
    """Positional arguments, keywords and the poisoned result of a call."""
    out = upload(numpy.full((call.tokens.shape[0], call.weights.shape[1]), numpy.nan, numpy.float32))
    keywords = {**call.options, "out": out}
    for name in ("a_scale", "b_scale", "alpha"):
        keywords[name] = upload(keywords[name])
    return [upload(call.a.values), upload(call.w.values), upload(call.m_indptr)], keywords, out


@pytest.mark.parametrize("provider", ["hopper", "cuda", None])
@pytest.mark.parametrize("variant", moegemm.variants())
def test_every_variant(driver: Driver, upload: Any, variant: str, provider: str | None) -> None:
    offered = {row.name: row.variants for row in gpu_providers()}
    if provider is not None and variant not in offered.get(provider, {}):
        pytest.skip(f"{provider} does not offer {variant} here")
    call = make_call(variant, n=48, k=192)
    expected = call.run(provider="reference")
    arguments, keywords, out = device_call(call, upload)
    if provider is not None:  # without one, a provider that needs no workspace is found
        keywords["workspace"] = upload(numpy.zeros(1 << 20, numpy.uint8))
    moegemm.moe_quant_group_gemm(*arguments, **keywords, provider=provider)
    # Tensor cores that add fp8 products keep fewer bits than float32; a provider that promotes them says so.
    promoted = any(
        row.get(variant, ("", ""))[0] == "promoted_128" for name, row in offered.items() if provider in (name, None)
    )
    assert relative(out.read(), expected) < (3e-3 if promoted else 1e-4)


def test_a_stream_that_is_given(driver: Driver, upload: Any) -> None:
    call = make_call("bf16", n=48, k=192)
    arguments, keywords, out = device_call(call, upload)
    driver.synchronize()
    stream = driver.stream()
    moegemm.moe_quant_group_gemm(*arguments, **keywords, stream=stream)
    driver.call("cuStreamSynchronize", ctypes.c_void_p(stream))
    assert relative(out.read(), call.run()) < 1e-5
    assert all(tensor.streams == [stream] for tensor in arguments)


def test_a_graph_replays_other_routings(driver: Driver, upload: Any) -> None:
    call = make_call("bf16", n=48, k=192)
    (a, w, m_indptr), _, out = device_call(call, upload)
    plan = moegemm.plan("bf16", experts=6, n=48, k=192, max_rows=26, dst_dtype="float32", device="cuda:0")
    plan.run(a, m_indptr, w, out=out)  # what is done once only, such as loading a kernel, is not captured
    driver.synchronize()
    stream, graph, ready = driver.stream(), ctypes.c_void_p(), ctypes.c_void_p()
    driver.call("cuStreamBeginCapture_v2", ctypes.c_void_p(stream), ctypes.c_int(2))
    plan.run(a, m_indptr, w, out=out, stream=stream)
    driver.call("cuStreamEndCapture", ctypes.c_void_p(stream), ctypes.byref(graph))
    driver.call("cuGraphInstantiateWithFlags", ctypes.byref(ready), graph, ctypes.c_ulonglong(0))
    for rows in ((1, 5, 5, 5, 5, 5), (0, 0, 26, 0, 0, 0)):
        other = make_call("bf16", rows=rows, n=48, k=192, seed=rows[0] + 7)
        a.write(other.a.values)
        w.write(other.w.values)
        m_indptr.write(other.m_indptr)
        out.write(numpy.full((26, 48), numpy.nan, numpy.float32))
        driver.call("cuGraphLaunch", ready, ctypes.c_void_p(stream))
        assert relative(out.read(), other.run()) < 1e-5


def test_bad_operands_of_a_device(driver: Driver, upload: Any) -> None:
    call = make_call("bf16", n=48, k=192)
    (a, w, m_indptr), _, out = device_call(call, upload)
    good = {"variant": "bf16", "out": out}
    with pytest.raises(ValueError, match="^m_indptr = device type 1"):
        moegemm.moe_quant_group_gemm(a, w, call.m_indptr, **good)
    with pytest.raises(ValueError, match="^host_m_indptr|^m_indptr"):
        moegemm.moe_quant_group_gemm(a, w, m_indptr, host_m_indptr=call.m_indptr[::-1].copy(), **good)
    with pytest.raises((ValueError, NotImplementedError)):
        moegemm.plan("bf16", experts=6, n=48, k=192, max_rows=26, device="cuda:99")
    moegemm.moe_quant_group_gemm(a, w, m_indptr, **good)
    assert relative(out.read(), call.run()) < 1e-5


def test_weights_are_packed_where_a_provider_packs(driver: Driver, upload: Any) -> None:
    for row in gpu_providers():
        plan = moegemm.plan("bf16", experts=6, n=48, k=192, max_rows=26, device="cuda:0", provider=row.name)
        if plan.packed_bytes == 0:
            with pytest.raises(NotImplementedError, match="^pack = "):
                plan.pack(upload(make_call("bf16", n=48, k=192).w.values), out=upload(numpy.zeros(64, numpy.uint8)))


def torch_operands(call: Call) -> tuple[list[Any], dict[str, Any]]:
    """A call's operands as tensors of torch's on the GPU, and the keywords of the custom operator."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device")

    def upload(array: numpy.ndarray | None) -> Any:
        if array is None:
            return None
        if array.dtype == numpy.uint16:
            return torch.from_numpy(array.view(numpy.int16).copy()).view(torch.bfloat16).cuda()
        return torch.from_numpy(array.copy()).cuda()

    keywords = {name: upload(call.options[name]) for name in ("a_scale", "b_scale", "alpha")}
    return [upload(call.a.values), upload(call.w.values), upload(call.m_indptr)], {"variant": call.variant, **keywords}


@pytest.mark.parametrize("variant", moegemm.variants())
def test_torch_compile(driver: Driver, variant: str) -> None:
    torch = pytest.importorskip("torch")
    import moegemm.torch

    call = make_call(variant, n=48, k=192)
    (a, w, m_indptr), keywords = torch_operands(call)

    def layer(a: Any, m_indptr: Any) -> Any:
        return 2 * moegemm.torch.moe_quant_group_gemm(a, w, m_indptr, dst_dtype=torch.float32, **keywords)

    torch._dynamo.reset()
    y = torch.compile(layer, fullgraph=True)(a, m_indptr)
    assert relative(y.cpu().numpy(), 2 * call.run(provider="reference")) < 3e-3


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("variant", moegemm.variants())
def test_torchs_cuda_graph_replays_other_routings(driver: Driver, variant: str, compiled: bool) -> None:
    torch = pytest.importorskip("torch")
    import moegemm.torch

    call = make_call(variant, n=48, k=192)
    (a, w, m_indptr), keywords = torch_operands(call)
    out = torch.full((26, 48), torch.nan, device="cuda")

    def layer() -> None:
        moegemm.torch.moe_quant_group_gemm(a, w, m_indptr, out=out, **keywords)

    torch._dynamo.reset()
    step = torch.compile(layer, fullgraph=True) if compiled else layer
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        step()  # what is done once only, such as loading a kernel, is not captured
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    for rows in ((1, 5, 5, 5, 5, 5), (0, 0, 26, 0, 0, 0)):
        other = make_call(variant, rows=rows, n=48, k=192, seed=rows[0] + 7)
        (other_a, other_w, other_m_indptr), other_keywords = torch_operands(other)
        fresh = [(a, other_a), (w, other_w), (m_indptr, other_m_indptr)]
        fresh += [(keywords[name], other_keywords[name]) for name in ("a_scale", "b_scale", "alpha")]
        for target, source in fresh:
            if target is not None:
                target.copy_(source)
        out.fill_(torch.nan)
        graph.replay()
        assert relative(out.cpu().numpy(), other.run(provider="reference")) < 3e-3


def test_flashinfers_names(driver: Driver, upload: Any) -> None:
    from moegemm import flashinfer

    call = make_call("mxfp8", n=48, k=192, scale_layout="swizzled_128x4_whole")
    (a, w, m_indptr), keywords, out = device_call(call, upload)
    flashinfer.grouped_mm_mxfp8(a, w, keywords["a_scale"], keywords["b_scale"], m_indptr, out)
    assert relative(out.read(), call.run(provider="reference")) < 3e-3
