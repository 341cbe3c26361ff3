"""moegemm.bench: cases in, records out, by the program that the package carries."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

import moegemm

CASE = {"num_tokens": [4, 8], "num_experts": 4, "topk": 2, "hidden_size": 64, "new_hidden_size": 32}
BF16 = {**CASE, "dtype": "bfloat16", "w_dtype": "bfloat16", "compute_dtype": "bfloat16"}
QUICK: dict[str, Any] = {"max_time": 0.02, "min_time": 0.0}


def test_records_of_cases() -> None:
    records = moegemm.bench([BF16, CASE], providers=["cpu", "reference"], verify="full", **QUICK)
    measured = [(row["variant"], row["shape"]["M"], row["provider"]) for row in records]
    assert sorted(measured) == sorted(
        (variant, rows, provider)
        for variant in ("bf16", "int8")
        for rows in (8, 16)
        for provider in ("cpu", "reference")
    )
    for row in records:
        assert row["status"] == "ok" and row["targets"]["latency(us)"] > 0
        assert row["targets"]["calc_flops"] == 2 * row["shape"]["M"] * 64 * 32
        assert row["verification"]["checked"] == row["shape"]["M"] * 32


def test_options_choose() -> None:
    wanted: dict[str, Any] = {"dry_run": True, "filters": {"num_tokens": [1, 8, 16]}, "variants": "bf16"}
    (record,) = moegemm.bench([BF16, CASE], routing="uniform", seed=7, **wanted)
    assert record["status"] == "planned" and record["shape"]["M"] == 16
    assert record["arguments"]["routing"] == "uniform" and record["arguments"]["seed"] == 7
    assert len(moegemm.bench(BF16, limit=1, dry_run=True)) == 1
    assert {row["variant"] for row in moegemm.bench(dry_run=True)} == set(moegemm.variants())  # the quick start


def test_files_go_in_and_come_out(tmp_path: Path) -> None:
    workload = tmp_path / "moe_quant_group_gemm.json"
    workload.write_text(json.dumps({"cases": [{"arg_type": "llm", **BF16}]}))
    options: dict[str, Any] = {"cache": "warm", "threads": 1, "inexact": True, **QUICK}
    records = moegemm.bench([workload, str(workload)], out=tmp_path / "records", **options)
    written = (tmp_path / "records" / "records.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in written] == records and len(records) == 4
    assert records[0]["measurement"]["cache"] == "warm" and records[0]["measurement"]["inexact"]
    assert json.loads((tmp_path / "records" / "machine.json").read_text())


def test_recorded_counts_are_looked_for_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "counts.json").write_text("[5, 1, 0, 2]")
    monkeypatch.chdir(tmp_path)
    (record,) = moegemm.bench({**BF16, "num_tokens": 4, "routing": "counts:counts.json"}, dry_run=True)
    assert record["status"] == "planned" and record["shape"]["rows_max"] == 5


def test_a_case_that_fails_is_a_record() -> None:
    good, bad = moegemm.bench([{**BF16, "num_tokens": 4}, {**BF16, "num_tokens": 4, "topk": 5}], **QUICK)
    assert good["status"] == "ok"
    assert bad["status"] == "error" and "topk = 5" in bad["reason"]


def test_what_cannot_be_understood() -> None:
    with pytest.raises(ValueError, match="^--provider = nope: "):
        moegemm.bench(BF16, providers="nope")
    with pytest.raises(ValueError, match="no-such-file.json = No such file"):
        moegemm.bench("no-such-file.json")
    with pytest.raises(ValueError, match="^device = tpu: "):
        moegemm.bench(BF16, device="tpu")
    with pytest.raises(ValueError, match="--limit"):
        moegemm.bench(BF16, limit=-1)
    with pytest.raises(TypeError, match="^workload = files and cases: "):
        moegemm.bench([BF16, "no-such-file.json"])  # type: ignore[list-item]


def test_a_program_that_ends_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moegemm._bench._PROGRAM", "/bin/false")
    with pytest.raises(RuntimeError, match="^moegemm bench ended with status 1: "):
        moegemm.bench(BF16)


def test_plugins_are_those_that_are_named(recorder_library: Path) -> None:
    (row,) = moegemm.bench(BF16, limit=1, dry_run=True, providers="recorder", plugins=[recorder_library])
    assert row["provider"] == "recorder"


def test_the_program_has_plugins_of_its_own(recorder_library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    how: dict[str, Any] = {"limit": 1, "dry_run": True, "providers": "recorder"}
    with pytest.raises(ValueError, match="^--provider = recorder: "):
        moegemm.bench(BF16, **how)
    monkeypatch.setattr("moegemm._bench._PROGRAM_PLUGINS", recorder_library.parent)
    for named in (None, "", "/no/such/folder"):
        monkeypatch.setenv("MOEGEMM_PLUGIN_PATH", named) if named is not None else None
        (row,) = moegemm.bench(BF16, **how)
        assert row["provider"] == "recorder"


def test_the_program_on_the_command_line() -> None:
    main = "import sys; sys.argv[1:] = ['verify', sys.argv[1]]; from moegemm._bench import program; program()"
    cases = str(ROOT / "tests" / "data" / "vectors")
    done = subprocess.run([sys.executable, "-c", main, cases], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.splitlines()[-1].endswith("skipped"), done.stdout + done.stderr
