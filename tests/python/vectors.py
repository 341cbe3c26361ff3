"""The conformance cases, whose results are of an implementation of the contract's own: tests/data/vectors/README.md."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy
from conftest import ROOT, from_bf16

FOLDER = ROOT / "tests" / "data" / "vectors"
CASES = sorted(manifest.parent.name for manifest in FOLDER.glob("*/manifest.json"))
STORED = {"bf16": "uint16", "i8": "int8", "i32": "int32", "f32": "float32", "f64": "float64"}


@dataclass
class Vector:
    manifest: dict[str, Any]
    tensors: dict[str, numpy.ndarray]  # read-only memory, as numpy.frombuffer gives it
    dtypes: dict[str, str]
    expected: numpy.ndarray

    @property
    def variant(self) -> str:
        return self.manifest["variant"]

    @property
    def arguments(self) -> dict[str, Any]:
        return self.manifest["arguments"]

    def check(self, y: numpy.ndarray) -> None:
        """Whether a result in its type conforms."""
        actual = (from_bf16(y) if y.dtype == numpy.uint16 else y).astype(numpy.float64)
        expected, tolerance = self.expected, self.manifest["tolerance"]
        assert actual.shape == expected.shape
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


def read_manifest(case: str) -> dict[str, Any]:
    return json.loads((FOLDER / case / "manifest.json").read_text())


def read_vector(case: str) -> Vector:
    def read(tensor: dict[str, Any]) -> numpy.ndarray:
        dtype = numpy.dtype(STORED.get(tensor["dtype"], "uint8"))
        return numpy.frombuffer((FOLDER / case / tensor["file"]).read_bytes(), dtype).reshape(tensor["shape"])

    manifest = read_manifest(case)
    return Vector(
        manifest,
        {tensor["name"]: read(tensor) for tensor in manifest["tensors"]},
        {tensor["name"]: tensor["dtype"] for tensor in manifest["tensors"]},
        read(manifest["expected"]),
    )


def from_bf16_rounded(values: numpy.ndarray) -> numpy.ndarray:
    """To the nearest bfloat16, ties to even."""
    bits = values.astype(numpy.float32).view(numpy.uint32).astype(numpy.uint64)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(numpy.uint16)
    return numpy.where(numpy.isfinite(values), from_bf16(rounded), values.astype(numpy.float32))
