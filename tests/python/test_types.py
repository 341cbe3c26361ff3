"""The package's types: complete, those of the extension itself, and of use."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import moegemm
from moegemm import _core

STUB = Path(moegemm.__file__).parent / "_core.pyi"


def run(folder: Path, *arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def names_of(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """What a stub declares."""
    names: dict[str, ast.stmt] = {}
    for statement in body:
        if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
            names[statement.name] = statement
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            names[statement.target.id] = statement
    return names


def test_the_package_says_that_it_is_typed() -> None:
    assert STUB.is_file() and STUB.with_name("py.typed").is_file()


def test_the_stub_has_what_the_extension_has() -> None:
    declared = names_of(ast.parse(STUB.read_text()).body)
    assert set(declared) == {name for name in vars(_core) if not name.startswith("__")}
    for name, statement in declared.items():
        if isinstance(statement, ast.ClassDef):
            members = {member for member in vars(getattr(_core, name)) if not member.startswith("__")}
            assert members == {member for member in names_of(statement.body) if not member.startswith("__")}


def test_the_stub_is_the_one_that_nanobind_writes(tmp_path: Path) -> None:
    pytest.importorskip("nanobind")
    run(tmp_path, "nanobind.stubgen", "-m", "moegemm._core", "-o", str(tmp_path / "_core.pyi"))
    made = (tmp_path / "_core.pyi").read_text().replace("moegemm._core.", "")
    assert made == STUB.read_text()


def test_types_are_those_of_the_functions(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    allowed = tmp_path / "allowed.txt"
    names = [r"moegemm\._core\..*"]  # nanobind's functions are no functions to it; see the tests above
    if importlib.util.find_spec("torch") is None:
        names += [r"moegemm\.torch", r"moegemm\.xpu_perf"]  # they import torch
    allowed.write_text("\n".join(names))
    run(tmp_path, "mypy.stubtest", "moegemm", "--allowlist", str(allowed))


def test_types_allow_right_uses_and_refuse_wrong_ones(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    # An "ignore" that ignores nothing is an error, so that each use that is marked as wrong has to be.
    use = Path(__file__).with_name("typed_use.py")
    run(tmp_path, "mypy", "--strict", "--warn-unused-ignores", "--allow-any-generics", str(use))
    run(tmp_path, "mypy", "--strict", "--allow-any-generics", "-p", "moegemm")
