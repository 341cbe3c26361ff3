"""Random calls of the op, and a provider of CUDA tensors that needs no GPU."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pytest

import moegemm

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Call:
    """A quantised call and what it was made of."""

    variant: str
    tokens: numpy.ndarray  # (M, K) float32
    weights: numpy.ndarray  # (E, N, K) float32
    a: moegemm.Quantized
    w: moegemm.Quantized
    m_indptr: numpy.ndarray
    options: dict[str, Any]  # keywords of moe_quant_group_gemm, the variant included

    def run(self, **changed: Any) -> Any:
        return moegemm.moe_quant_group_gemm(self.a.values, self.w.values, self.m_indptr, **{**self.options, **changed})

    def product(self) -> numpy.ndarray:
        """Of the numbers before they were quantised, in float64."""
        parts = [
            self.tokens[start:end].astype(numpy.float64) @ self.weights[expert].astype(numpy.float64).T
            for expert, (start, end) in enumerate(zip(self.m_indptr, self.m_indptr[1:]))
        ]
        return numpy.concatenate(parts)


def make_call(
    variant: str,
    *,
    rows: tuple[int, ...] = (3, 0, 17, 1, 0, 5),
    n: int = 35,
    k: int = 160,
    seed: int = 1,
    dtype: str | None = None,
    scale_layout: str | None = None,
    alpha: bool = True,
) -> Call:
    """Normally distributed operands: uneven rows, experts without any, N and K that are no powers of two."""
    random = numpy.random.default_rng(seed)
    m_indptr = numpy.concatenate([[0], numpy.cumsum(rows)]).astype(numpy.int32)
    tokens = random.standard_normal((int(m_indptr[-1]), k), dtype=numpy.float32)
    # Experts of different sizes show an index of the wrong one.
    weights = random.standard_normal((len(rows), n, k), dtype=numpy.float32)
    weights *= numpy.arange(1, len(rows) + 1, dtype=numpy.float32)[:, None, None]
    how = {"variant": variant, "dtype": dtype, "scale_layout": scale_layout, "alpha": alpha}
    if variant not in ("int8", "fp8", "fp8_token", "fp8_block", "mxfp8"):
        how["dtype"] = None  # no 8-bit floats on both sides
    a = moegemm.quantize_tokens(tokens, m_indptr, **how)
    w = moegemm.quantize_weights(weights, **how)
    options: dict[str, Any] = {
        "variant": variant,
        "a_scale": a.scales,
        "b_scale": w.scales,
        "alpha": moegemm.combine_alpha(a, w),
        "scale_layout": scale_layout,
        "dst_dtype": "float32",
        "a_dtype": how["dtype"],
        "w_dtype": how["dtype"],
    }
    return Call(variant, tokens, weights, a, w, m_indptr, options)


def from_bf16(codes: numpy.ndarray) -> numpy.ndarray:
    return (codes.astype(numpy.uint32) << 16).view(numpy.float32)


def relative(actual: numpy.ndarray, expected: numpy.ndarray) -> float:
    """The error as a whole, relative to the result as a whole."""
    expected = expected.astype(numpy.float64)
    return float(numpy.linalg.norm(actual.astype(numpy.float64) - expected) / numpy.linalg.norm(expected))


class Recorder:
    """The plug-in recorder_plugin.c, loaded as a provider, and its variables."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def _variable(self, name: str, kind: Any) -> Any:
        return kind.in_dll(self._library, name)

    def reset(self) -> None:
        self._variable("recorded_stream", ctypes.c_size_t).value = 0
        self._variable("recorded_workspace", ctypes.c_size_t).value = 0
        self._variable("recorded_calls", ctypes.c_int32).value = 0
        self._variable("recorded_inexact", ctypes.c_int32).value = 0
        self.hold(False)
        self.answer(0)
        self.want_workspace(0)

    def answer(self, status: int) -> None:
        self._variable("answered_status", ctypes.c_int32).value = status

    def want_workspace(self, size: int) -> None:
        self._variable("workspace_bytes", ctypes.c_int64).value = size

    def hold(self, held: bool) -> None:
        """Whether calls stay in the provider until this is called with False."""
        self._variable("held", ctypes.c_int32).value = held

    @property
    def stream(self) -> int:
        return self._variable("recorded_stream", ctypes.c_size_t).value

    @property
    def workspace(self) -> int:
        return self._variable("recorded_workspace", ctypes.c_size_t).value

    @property
    def calls(self) -> int:
        return self._variable("recorded_calls", ctypes.c_int32).value

    @property
    def inexact(self) -> bool:
        return bool(self._variable("recorded_inexact", ctypes.c_int32).value)


@pytest.fixture(scope="session")
def recorder_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to build recorder_plugin.c with")
    library = tmp_path_factory.mktemp("plugin") / "moegemm_recorder.so"
    source = Path(__file__).with_name("recorder_plugin.c")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-Wall", "-Werror", f"-I{ROOT / 'include'}", str(source), "-o", str(library)],
        check=True,
    )
    return library


@pytest.fixture(scope="session")
def loaded_recorder(recorder_library: Path) -> Recorder:
    moegemm.load_plugin(recorder_library)
    return Recorder(ctypes.CDLL(str(recorder_library)))


@pytest.fixture
def recorder(loaded_recorder: Recorder) -> Recorder:
    loaded_recorder.reset()
    return loaded_recorder
