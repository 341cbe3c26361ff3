"""Tensors in and out in place, streams, and that nothing is kept."""

from __future__ import annotations

import array
import gc
import os
import subprocess
import sys
import threading
import time
import tracemalloc
import types
from pathlib import Path
from typing import Any

import numpy
import pytest
from conftest import Recorder, make_call
from cuda_tensor import CudaTensor

import moegemm


def cuda_call(device: int = 0, old: bool = False) -> tuple[list[CudaTensor], CudaTensor]:
    """Operands of a call of bf16 with 4 rows, 2 experts, N 8, K 16, and its result."""
    operands = [("bf16", (4, 16)), ("bf16", (2, 8, 16)), ("i32", (3,))]
    return [CudaTensor(dtype, shape, device, old) for dtype, shape in operands], CudaTensor("f32", (4, 8), device, old)


def own_provider_for_cuda() -> bool:
    """Whether there is one beside the recorders."""
    rows = [row for row in moegemm.providers() if row.available and row.device == "cuda"]
    return any(not row.name.endswith("recorder") for row in rows)


class FakeTorch(types.ModuleType):
    """What of torch tells the current stream."""

    class Tensor:
        pass

    def __init__(self, initialized: bool = True) -> None:
        super().__init__("torch")
        stream = {0: 0, 1: 0x5678}
        self.cuda = types.SimpleNamespace(
            is_initialized=lambda: initialized,
            current_device=lambda: 1,
            current_stream=lambda device: types.SimpleNamespace(cuda_stream=stream[device]),
        )


def test_torch_is_not_imported() -> None:
    script = "import sys, moegemm; moegemm.providers(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("old", [False, True])
def test_the_default_stream_without_torch(recorder: Recorder, monkeypatch: pytest.MonkeyPatch, old: bool) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    operands, out = cuda_call(old=old)
    assert moegemm.moe_quant_group_gemm(*operands, variant="bf16", provider="recorder", out=out) is out
    assert (recorder.calls, recorder.stream) == (1, 0)
    for tensor in operands:
        assert tensor.streams == [1]  # DLPack's number of it
    assert set(out.streams) == {1}


def test_torchs_current_stream(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", FakeTorch())
    operands, out = cuda_call(device=1)
    moegemm.moe_quant_group_gemm(*operands, variant="bf16", provider="recorder", out=out)
    assert recorder.stream == 0x5678
    assert all(set(tensor.streams) == {0x5678} for tensor in (*operands, out))
    operands, out = cuda_call(device=0)
    moegemm.moe_quant_group_gemm(*operands, variant="bf16", provider="recorder", out=out)
    assert recorder.stream == 0
    # A plan for "cuda" is one for torch's current device.
    plan = moegemm.plan("bf16", experts=2, n=8, k=16, max_rows=4, dst_dtype="f32", device="cuda", provider="recorder")
    assert plan.device == (2, 1)
    operands, out = cuda_call(device=1)
    plan.run(operands[0], operands[2], operands[1], out=out)
    assert recorder.stream == 0x5678


def test_torch_that_has_not_begun_to_use_cuda_is_left_alone(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", FakeTorch(initialized=False))
    operands, out = cuda_call(device=1)
    moegemm.moe_quant_group_gemm(*operands, variant="bf16", provider="recorder", out=out)
    assert recorder.stream == 0


@pytest.mark.parametrize("stream", [0x1234, types.SimpleNamespace(cuda_stream=0x1234)])
def test_a_stream_that_is_given(recorder: Recorder, monkeypatch: pytest.MonkeyPatch, stream: Any) -> None:
    monkeypatch.setitem(sys.modules, "torch", FakeTorch())
    operands, out = cuda_call(device=1)
    moegemm.moe_quant_group_gemm(*operands, variant="bf16", provider="recorder", out=out, stream=stream)
    assert recorder.stream == 0x1234
    assert all(set(tensor.streams) == {0x1234} for tensor in (*operands, out))


def test_a_device_workspace_is_the_callers(recorder: Recorder) -> None:
    recorder.want_workspace(512)
    operands, out = cuda_call()
    workspace = CudaTensor("u8", (512,))
    plan = moegemm.plan("bf16", experts=2, n=8, k=16, max_rows=4, dst_dtype="f32", device="cuda:0", provider="recorder")
    assert plan.workspace_bytes == 512
    plan.run(operands[0], operands[2], operands[1], out=out, workspace=workspace)
    assert recorder.workspace == workspace.address
    with pytest.raises(TypeError, match="^workspace = None: .*CudaTensor is of a framework"):
        plan.run(operands[0], operands[2], operands[1], out=out)
    with pytest.raises(TypeError, match="^out = None: "):
        plan.run(operands[0], operands[2], operands[1], workspace=workspace)
    assert recorder.calls == 1
    other = CudaTensor("u8", (512,))
    moegemm.moe_quant_group_gemm(*operands, variant="bf16", provider="recorder", out=out, workspace=other)
    assert recorder.workspace == other.address
    with pytest.raises(TypeError, match="^workspace = None: .*CudaTensor is of a framework"):
        moegemm.moe_quant_group_gemm(*operands, variant="bf16", provider="recorder", out=out)


@pytest.mark.parametrize("inexact", [False, True])
def test_inexact_reaches_the_provider(recorder: Recorder, inexact: bool) -> None:
    size = {"experts": 2, "n": 8, "k": 16, "max_rows": 4}
    moegemm.plan("bf16", **size, device="cuda:0", provider="recorder", inexact=inexact)
    assert recorder.inexact == inexact


def test_without_a_workspace_a_provider_that_needs_none_is_taken(recorder: Recorder) -> None:
    if own_provider_for_cuda():
        pytest.skip("a provider for CUDA is available, which may come before the recorders")
    recorder.want_workspace(512)
    operands, out = cuda_call()
    moegemm.moe_quant_group_gemm(*operands, variant="bf16", out=out)
    assert (recorder.calls, recorder.workspace) == (1, 0)
    workspace = CudaTensor("u8", (512,))
    moegemm.moe_quant_group_gemm(*operands, variant="bf16", out=out, workspace=workspace)
    assert (recorder.calls, recorder.workspace) == (2, workspace.address)


def test_why_a_tensor_is_not_lent(recorder: Recorder) -> None:
    class Refusing(CudaTensor):
        def __dlpack__(self, **arguments: Any) -> Any:
            raise BufferError("it is elsewhere")

    (_, w, m_indptr), out = cuda_call()
    with pytest.raises(TypeError, match=r"^scatter_tokens = Refusing: .*DLPack \(it is elsewhere\)"):
        moegemm.moe_quant_group_gemm(
            Refusing("bf16", (4, 16)), w, m_indptr, variant="bf16", provider="recorder", out=out
        )

    class Failing(CudaTensor):
        def __dlpack__(self, **arguments: Any) -> Any:
            raise KeyError("a fault of its own")

    with pytest.raises(KeyError, match="a fault of its own"):
        moegemm.moe_quant_group_gemm(
            Failing("bf16", (4, 16)), w, m_indptr, variant="bf16", provider="recorder", out=out
        )


def test_the_default_provider_is_one_of_the_device(recorder: Recorder) -> None:
    status = {row.name: row for row in moegemm.providers()}
    assert status["recorder"].device == "cuda" and status["recorder"].available
    expected = next((name for name in ("hopper", "cuda") if status[name].available), "recorder")
    plan = moegemm.plan("bf16", experts=2, n=8, k=16, max_rows=4, device="cuda:0")
    assert plan.provider == expected


def test_tensors_of_two_devices_are_refused(recorder: Recorder) -> None:
    (a, w, _), out = cuda_call()
    with pytest.raises(ValueError, match="^m_indptr = device type 1"):
        moegemm.moe_quant_group_gemm(
            a, w, numpy.array([0, 2, 4], numpy.int32), variant="bf16", provider="recorder", out=out
        )
    with pytest.raises(ValueError, match="^y = device type 2, number 1"):
        moegemm.moe_quant_group_gemm(
            *cuda_call()[0], variant="bf16", provider="recorder", out=CudaTensor("f32", (4, 8), 1)
        )
    assert recorder.calls == 0


def test_no_provider_for_a_device() -> None:
    """In a process of its own, which loads no recorder."""
    if own_provider_for_cuda():
        pytest.skip("a provider for CUDA is available")
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import moegemm\n"
        "from cuda_tensor import CudaTensor\n"
        "tensors = [CudaTensor('bf16', (4, 16)), CudaTensor('bf16', (2, 8, 16)), CudaTensor('i32', (3,))]\n"
        "try: moegemm.moe_quant_group_gemm(*tensors, variant='bf16')\n"
        "except NotImplementedError as error: print(error)\n"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert text.startswith("provider = none for bf16 on device cuda: allowed is one that takes this (")
    assert "hopper: " in text


def test_plugins_are_found_by_the_environment(recorder_library: Path, tmp_path: Path) -> None:
    script = "import moegemm; print([row.name for row in moegemm.providers() if row.source.endswith('.so')])"
    broken = tmp_path / "moegemm_broken.so"
    broken.write_text("text")
    for value in (str(recorder_library), f"{tmp_path}:{recorder_library.parent}", f"{broken}:{recorder_library}"):
        environment = {**os.environ, "MOEGEMM_PLUGIN_PATH": value}
        done = subprocess.run(
            [sys.executable, "-c", script], check=True, capture_output=True, text=True, env=environment
        )
        assert "recorder" in done.stdout
        assert ("moegemm_broken.so" in done.stderr) == (value != str(recorder_library))


def test_other_threads_go_on_while_a_call_runs(recorder: Recorder) -> None:
    operands, out = cuda_call()
    recorder.hold(True)
    finished: list[CudaTensor] = []
    call = threading.Thread(
        target=lambda: finished.append(
            moegemm.moe_quant_group_gemm(*operands, variant="bf16", provider="recorder", out=out)
        )
    )
    call.start()
    while recorder.calls == 0 and call.is_alive():
        time.sleep(0.001)
    # With the interpreter's lock held in the call, nobody would get here before it has given up.
    recorder.hold(False)
    call.join()
    assert finished == [out]


def test_every_tensor_is_given_back(recorder: Recorder) -> None:
    for status in (0, 1):
        recorder.answer(status)
        operands, out = cuda_call()
        try:
            moegemm.moe_quant_group_gemm(*operands, variant="bf16", provider="recorder", out=out)
        except ValueError:
            assert status == 1
        gc.collect()
        for tensor in (*operands, out):
            assert tensor.given_back == len(tensor.streams) > 0


def test_results_outlive_what_made_them() -> None:
    route = moegemm.route(1000, 16, 4, routing="uniform", seed=3)
    m_indptr = numpy.from_dlpack(route.m_indptr)
    expected = m_indptr.copy()
    del route
    gc.collect()
    numpy.ones(1 << 20).sum()  # something that would take freed memory
    numpy.testing.assert_array_equal(m_indptr, expected)
    assert numpy.shares_memory(m_indptr, numpy.from_dlpack(m_indptr))


def test_tensors_of_any_maker() -> None:
    call = make_call("int8")
    expected = call.run()
    offsets = array.array("i", call.m_indptr.tolist())  # no DLPack, but memory that can be seen
    call.m_indptr = offsets  # type: ignore[assignment]
    numpy.testing.assert_array_equal(call.run(), expected)

    class Lent:
        """Only what the protocol has."""

        def __init__(self, lender: numpy.ndarray) -> None:
            self.lender = lender

        def __dlpack__(self, **arguments: Any) -> Any:
            return self.lender.__dlpack__(**arguments)

        def __dlpack_device__(self) -> tuple[int, int]:
            return self.lender.__dlpack_device__()  # type: ignore[return-value]

    out = numpy.zeros_like(expected)
    lent = moegemm.moe_quant_group_gemm(
        Lent(call.a.values), Lent(call.w.values), offsets, variant="int8",
        a_scale=Lent(call.a.scales), b_scale=Lent(call.w.scales), out=Lent(out),
    )  # fmt: skip
    assert lent.lender is out
    numpy.testing.assert_array_equal(out, expected)


def test_references_are_given_back() -> None:
    call = make_call("nvfp4")
    plan = moegemm.plan("nvfp4", experts=6, n=35, k=160, max_rows=26, alpha=True, dst_dtype="float32")
    packed = plan.pack(call.w.values, b_scale=call.w.scales)
    out = numpy.zeros((26, 35), numpy.float32)
    alpha = call.options["alpha"]
    held = [call.a.values, call.a.scales, call.w.values, call.w.scales, call.m_indptr, alpha, packed, out, plan]
    before = [sys.getrefcount(value) for value in held]

    def work() -> None:
        call.run(out=out)
        plan.run(call.a.values, call.m_indptr, packed_weights=packed, a_scale=call.a.scales, alpha=alpha, out=out)
        plan.pack(call.w.values, b_scale=call.w.scales, out=packed)
        with pytest.raises(ValueError):
            plan.run(call.a.values, call.m_indptr, packed_weights=packed, alpha=alpha, out=out)
        with pytest.raises(TypeError):
            plan.run(call.a.values, call.m_indptr.tolist(), packed_weights=packed, alpha=alpha, out=out)
        moegemm.quantize_tokens(call.tokens, call.m_indptr, variant="nvfp4")
        moegemm.route(64, 8, 2)

    for _ in range(20):
        work()
    gc.collect()
    assert [sys.getrefcount(value) for value in held] == before
    tracemalloc.start()
    try:
        work()
        gc.collect()
        first, _ = tracemalloc.get_traced_memory()
        for _ in range(100):
            work()
        gc.collect()
        last, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert last - first < 20_000  # a reference, or a result, for each of the hundred would be more


def test_memory_of_the_library_does_not_grow() -> None:
    """Resident memory, which what C++ keeps would be part of: each turn below handles 8 MiB several times."""
    script = (
        "import numpy, moegemm, resource\n"
        "w = numpy.ones((1, 1024, 2048), numpy.float32)\n"
        "def work():\n"
        "    q = moegemm.quantize_weights(w, variant='bf16')\n"
        "    plan = moegemm.plan('bf16', experts=1, n=1024, k=2048, max_rows=8)\n"
        "    plan.run(q.values[0, :8], numpy.array([0, 8], numpy.int32), packed_weights=plan.pack(q.values))\n"
        "for _ in range(5): work()\n"
        "first = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for _ in range(30): work()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - first)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert int(done.stdout) < 32 * 1024  # KiB; 30 operands that stayed would be 120 MiB
    assert "leaked" not in done.stderr  # what nanobind says at exit of objects that stayed
