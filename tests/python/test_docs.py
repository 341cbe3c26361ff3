"""The examples in the documents run."""

from __future__ import annotations

import re

import pytest
from conftest import ROOT

EXAMPLES = [
    pytest.param(example, id=f"{document}-{number}")
    for document in ("README.md", "docs/python.md", "docs/engines.md")
    for number, example in enumerate(re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL))
]


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 10


@pytest.mark.parametrize("example", EXAMPLES)
def test_example(example: str, capsys: pytest.CaptureFixture[str]) -> None:
    if "import torch" in example:
        pytest.importorskip("torch")
    exec(compile(example, "example", "exec"), {"__name__": "__main__"})
    printed = capsys.readouterr().out
    if "linalg.norm" in example:
        assert 0.05 < float(printed) < 0.2  # mxfp4's own error
