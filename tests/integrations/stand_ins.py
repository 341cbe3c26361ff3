"""Small stand-ins for what integrations/xpu_perf stands on: the suite's registry and base class (as of its commit
71a1210), FlashInfer's functions, and, where torch is not installed, torch's names of types.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import math
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy
import pytest
from conftest import ROOT

import moegemm
import moegemm.flashinfer

BYTES = {"bfloat16": 2, "float16": 2, "float32": 4, "int32": 4}


def size_of(info: Any) -> int:
    return math.prod(info.shape) * BYTES.get(str(info.dtype).removeprefix("torch."), 1)


@dataclass
class OpTensorInfo:
    shape: list[int] = field(default_factory=list)
    dtype: Any = None
    device: str = "cpu"
    creator: Any = None


class BasicOp:
    def __init__(self, args_dict: dict[str, Any], backend: Any, *args: Any, **kwargs: Any) -> None:
        self.args_dict = args_dict
        self.backend = backend
        self.input_tensor_info: dict[str, OpTensorInfo] = {}
        self.output_tensor_info: dict[str, OpTensorInfo] = {}
        self.extra_providers: list[str] = []
        self.prepare_args()
        self.vendor_parser()
        self.vendor_impl()

    def prepare_args(self) -> None: ...
    def vendor_parser(self) -> None: ...
    def vendor_impl(self) -> None: ...

    def _create_in_out_tensors(self, instance_num: int) -> list[dict[str, Any]]:
        infos = {**self.input_tensor_info, **self.output_tensor_info}
        return [
            {name: info.creator(size=info.shape, dtype=info.dtype, device=info.device) for name, info in infos.items()}
            for _ in range(instance_num)
        ]

    def create_tensors(self, instance_num: int) -> list[dict[str, Any]]:
        return self._create_tensors_func(instance_num)  # type: ignore[attr-defined]

    def core_run(self, *args: Any) -> Any:
        return self._run_func(*args)  # type: ignore[attr-defined]


class MoeQuantGroupGemmOp(BasicOp):
    def prepare_args(self) -> None:
        keys = ("num_tokens", "num_experts", "topk", "ep_size", "ep_rank")
        route = moegemm.route(**{key: self.args_dict[key] for key in keys if key in self.args_dict})
        self.dispatch_tokens = int(route.m_indptr[-1])
        self.expert_dispatch_token_count = [int(count) for count in numpy.diff(route.m_indptr)]
        self.expert_dispatch_token_offset = [int(start) for start in route.m_indptr[:-1]]

    def vendor_parser(self) -> None:
        raise ValueError("the base class knows int8 only")


class ProviderRegistry:
    OP_MAPPING: dict[str, dict[str, type]] = {}
    PROVIDER_INFO: dict[str, dict[str, str]] = {}

    @classmethod
    def register_vendor_impl(cls, op_name: str, provider_name: str) -> Callable[[type], type]:
        def decorator(vendor: type) -> type:
            made = type(vendor.__name__, (vendor, MoeQuantGroupGemmOp), {"__module__": vendor.__module__})
            cls.OP_MAPPING.setdefault(op_name, {})[provider_name] = made
            return made

        return decorator

    @classmethod
    def register_provider_info(cls, provider_name: str, info: dict[str, str]) -> None:
        cls.PROVIDER_INFO[provider_name] = info

    @classmethod
    def load(cls, vendor_ops: Path) -> None:
        """Each folder with a PROVIDER_NAME in its __init__.py, and every file in it, as the suite does it."""
        cls.OP_MAPPING, cls.PROVIDER_INFO = {}, {}
        for init in sorted(vendor_ops.rglob("__init__.py")):
            named = re.search(r'PROVIDER_NAME\s*=\s*["\']([^"\']+)["\']', init.read_text())
            assert named, init
            package = f"xpu_perf_provider_{named[1]}"
            spec = importlib.util.spec_from_file_location(package, init)
            assert spec and spec.loader
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            sys.modules[package] = module
            for file in init.parent.rglob("*.py"):
                if file != init:
                    importlib.import_module(f".{file.stem}", package)


def _demanding(function: Callable[..., Any], multiples: tuple[int, int] | None) -> Callable[..., Any]:
    """This package's function of that name, which refuses what FlashInfer's does. multiples: of N and K."""

    @functools.wraps(function)
    def call(**arguments: Any) -> Any:
        function_calls.append(function.__name__)
        if multiples is not None:
            n, k = arguments["out"].shape[1], arguments["a"].shape[1]
            k *= 2 if function.__name__ == "group_gemm_nvfp4_nt_groupwise" else 1
            if any(int(start) % 4 for start in arguments["m_indptr"]):
                raise ValueError("m_indptr: multiples of 4")
            if n % multiples[0] or k % multiples[1]:
                raise ValueError(f"n {n}, k {k}: multiples of {multiples}")
            if "float32" in str(arguments["out"].dtype):
                raise ValueError("out: bfloat16 or float16")
        return function(**arguments)

    return call


#: The names of FlashInfer's functions that were called.
function_calls: list[str] = []


def _flashinfer() -> dict[str, ModuleType]:
    gemm, grouped_mm = ModuleType("flashinfer.gemm"), ModuleType("flashinfer.grouped_mm")
    multiples = {"fp8": (8, 16), "mxfp4": (8, 128), "mxfp8_mxfp4": (8, 128), "nvfp4": (8, 128)}
    for variant, least in multiples.items():
        name = f"group_gemm_{variant}_nt_groupwise"
        setattr(gemm, name, _demanding(getattr(moegemm.flashinfer, name), least))
    for name in ("grouped_mm_bf16", "grouped_mm_fp8"):
        setattr(grouped_mm, name, _demanding(getattr(moegemm.flashinfer, name), None))
    return {"flashinfer": ModuleType("flashinfer"), "flashinfer.gemm": gemm, "flashinfer.grouped_mm": grouped_mm}


def _suite() -> dict[str, ModuleType]:
    modules = {name: ModuleType(name) for name in ("xpu_perf", "xpu_perf.micro_perf", "xpu_perf.micro_perf.core")}
    op, utils = ModuleType("xpu_perf.micro_perf.core.op"), ModuleType("xpu_perf.micro_perf.core.utils")
    vars(op).update(ProviderRegistry=ProviderRegistry)
    vars(utils).update(OpTensorInfo=OpTensorInfo, calc_tensor_size=size_of)
    return {**modules, op.__name__: op, utils.__name__: utils}


def _torch() -> dict[str, ModuleType]:
    """Its types' names; nothing can be created."""
    torch: Any = ModuleType("torch")
    names = ("bfloat16", "float16", "float32", "int8", "int32", "uint8", "float8_e4m3fn", "float8_e5m2")
    vars(torch).update({name: f"torch.{name}" for name in names})
    vars(torch).update(Tensor=type("Tensor", (), {}), empty=None, cuda=SimpleNamespace(is_initialized=lambda: False))
    return {"torch": torch}


HAS_TORCH = importlib.util.find_spec("torch") is not None


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[ProviderRegistry]]:
    """The registry, with the providers of integrations/xpu_perf."""
    before = set(sys.modules)
    for name, module in {**_suite(), **_flashinfer(), **({} if HAS_TORCH else _torch())}.items():
        monkeypatch.setitem(sys.modules, name, module)
    function_calls.clear()
    ProviderRegistry.load(ROOT / "integrations" / "xpu_perf")
    yield ProviderRegistry
    for name in set(sys.modules) - before:
        if name == "moegemm.xpu_perf" or name.startswith("xpu_perf"):
            del sys.modules[name]
