"""The conformance cases by the op's own name."""

from __future__ import annotations

import pytest
from vectors import CASES, read_manifest, read_vector

import moegemm


def test_there_are_cases_of_every_variant() -> None:
    assert {read_manifest(case)["variant"] for case in CASES} == set(moegemm.variants())


@pytest.mark.parametrize("provider", ["cpu", "reference"])
@pytest.mark.parametrize("case", CASES)
def test_case(case: str, provider: str) -> None:
    vector = read_vector(case)
    y = moegemm.moe_quant_group_gemm(
        **vector.tensors,
        variant=vector.variant,
        a_dtype=vector.dtypes["scatter_tokens"],
        w_dtype=vector.dtypes["experts_weight"],
        dst_dtype=vector.arguments["dst_dtype"],
        scale_layout=vector.arguments["scale_layout"],
        provider=provider,
    )
    vector.check(y)
