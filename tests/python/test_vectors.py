"""The conformance cases, whose results are of an implementation of the contract's own: tests/data/vectors/README.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy
import pytest
from conftest import ROOT, from_bf16

import moegemm

FOLDER = ROOT / "tests" / "data" / "vectors"
CASES = sorted(manifest.parent.name for manifest in FOLDER.glob("*/manifest.json"))
STORED = {"bf16": "uint16", "i8": "int8", "i32": "int32", "f32": "float32", "f64": "float64"}


def read(case: Path, tensor: dict[str, Any]) -> numpy.ndarray:
    dtype = numpy.dtype(STORED.get(tensor["dtype"], "uint8"))
    return numpy.frombuffer((case / tensor["file"]).read_bytes(), dtype).reshape(tensor["shape"])


def test_there_are_cases_of_every_variant() -> None:
    seen = {json.loads((FOLDER / case / "manifest.json").read_text())["variant"] for case in CASES}
    assert seen == set(moegemm.variants())


@pytest.mark.parametrize("provider", ["cpu", "reference"])
@pytest.mark.parametrize("case", CASES)
def test_case(case: str, provider: str) -> None:
    manifest = json.loads((FOLDER / case / "manifest.json").read_text())
    tensors = {tensor["name"]: read(FOLDER / case, tensor) for tensor in manifest["tensors"]}
    dtypes = {tensor["name"]: tensor["dtype"] for tensor in manifest["tensors"]}
    arguments = manifest["arguments"]
    y = moegemm.moe_quant_group_gemm(
        **tensors,  # read-only memory, as numpy.frombuffer gives it
        variant=manifest["variant"],
        a_dtype=dtypes["scatter_tokens"],
        w_dtype=dtypes["experts_weight"],
        dst_dtype=arguments["dst_dtype"],
        scale_layout=arguments["scale_layout"],
        provider=provider,
    )
    actual = (from_bf16(y) if y.dtype == numpy.uint16 else y).astype(numpy.float64)
    expected = read(FOLDER / case, manifest["expected"])
    tolerance = manifest["tolerance"]
    with numpy.errstate(over="ignore", invalid="ignore"):
        narrow = from_bf16_rounded(expected) if y.dtype == numpy.uint16 else expected.astype(y.dtype)
    numpy.testing.assert_array_equal(numpy.isnan(actual), numpy.isnan(expected))
    infinite = numpy.isinf(narrow)
    numpy.testing.assert_array_equal(numpy.isinf(actual), infinite)
    numpy.testing.assert_array_equal(actual[infinite], narrow[infinite].astype(numpy.float64))
    finite = ~(infinite | numpy.isnan(expected))
    error = numpy.subtract(actual, expected, out=numpy.zeros_like(expected), where=finite)
    size = numpy.where(finite, expected, 0.0)
    assert numpy.linalg.norm(error) <= tolerance["relative_norm"] * numpy.linalg.norm(size)
    if error.size:
        assert numpy.all(abs(error).max(axis=1) <= tolerance["relative_max"] * abs(size).max(axis=1))


def from_bf16_rounded(values: numpy.ndarray) -> numpy.ndarray:
    """To the nearest bfloat16, ties to even."""
    bits = values.astype(numpy.float32).view(numpy.uint32).astype(numpy.uint64)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(numpy.uint16)
    return numpy.where(numpy.isfinite(values), from_bf16(rounded), values.astype(numpy.float32))
