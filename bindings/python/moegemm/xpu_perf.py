"""What xpu-perf's providers of moe_quant_group_gemm have in common: integrations/xpu_perf stands on it.

The suite derives a vendor's class from its own definition of the op, whose methods of the same names this mix-in takes
the place of: that one knows int8 only.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch  # type: ignore[import-not-found, unused-ignore]

from ._core import Problem, TensorSpec
from ._helpers import problem

__all__ = ["QuantGroupGemm"]

_TYPES = {
    "bf16": "bfloat16",
    "f16": "float16",
    "f32": "float32",
    "i8": "int8",
    "i32": "int32",
    "e4m3": "float8_e4m3fn",
    "e5m2": "float8_e5m2",
    "e2m1x2": "uint8",
    "ue8m0": "uint8",
    "ue4m3": "uint8",
}

#: Elements drawn at a time, so that what they are made of takes little memory.
_CHUNK = 1 << 24


def _draw(tensor: TensorSpec) -> Callable[[int, str], Any]:
    """So many random elements. The time of a call depends on its data by the power that it takes: none are zeros."""
    bounds = {"i8": (-127, 128), "e2m1x2": (0, 256), "ue8m0": (124, 131), "ue4m3": (0x30, 0x48)}.get(tensor.dtype)
    if bounds is not None:
        kind = torch.int8 if tensor.dtype == "i8" else torch.uint8
        return lambda count, device: torch.randint(*bounds, (count,), dtype=kind, device=device)
    if tensor.dtype == "f32":  # scales: positive, and different from block to block
        return lambda count, device: 0.5 + torch.rand(count, device=device)
    return lambda count, device: torch.randn(count, device=device)


def _creator(tensor: TensorSpec) -> Callable[..., Any]:
    """A random tensor, made where it will lie, in the suite's way of asking for one."""
    draw = _draw(tensor)

    def create(size: list[int], dtype: Any, device: str) -> Any:
        made = torch.empty(size, dtype=dtype, device=device)
        flat = made.view(-1)
        for start in range(0, flat.numel(), _CHUNK):
            part = flat[start : start + _CHUNK]
            part.copy_(draw(part.numel(), device))
        return made

    return create


class QuantGroupGemm:
    """Arguments, tensors, sizes and FLOPs of a case in any variant, by the op's contract.

    A provider's class has `check()` and `vendor_impl_run(tensor_mapping)`; with the mapping's tensors, named as the
    contract has them, comes `m_indptr`.
    """

    args_dict: dict[str, Any]
    backend: Any
    dispatch_tokens: int
    expert_dispatch_token_count: list[int]
    expert_dispatch_token_offset: list[int]
    _create_in_out_tensors: Callable[[int], list[dict[str, Any]]]

    problem: Problem
    #: Row offsets of the call, and its rows: the op's own, or those of padded experts.
    m_indptr: list[int]
    rows: int

    def check(self) -> None:
        """Raises ``ValueError`` or ``NotImplementedError``, with the reason, where the provider takes no such case."""

    def row_multiple(self) -> int:
        """What the rows of each expert are padded to."""
        return 1

    def vendor_parser(self) -> None:
        self.problem = problem(self.args_dict)
        multiple = self.row_multiple()
        counts = [-(-count // multiple) * multiple for count in self.expert_dispatch_token_count]
        self.m_indptr = [0, *itertools.accumulate(counts)]
        self.rows = self.m_indptr[-1]
        self.check()

    def tensor_dtype(self, tensor: TensorSpec) -> Any:
        return getattr(torch, _TYPES[tensor.dtype])

    def vendor_impl(self) -> None:
        from xpu_perf.micro_perf.core.utils import (  # type: ignore[import-not-found, unused-ignore]
            OpTensorInfo,
            calc_tensor_size,
        )

        device = self.backend.get_torch_device_name()
        inputs: dict[str, Any] = {}
        outputs: dict[str, Any] = {}
        for tensor in self.problem.tensors(self.rows):
            if tensor.name == "m_indptr":  # the contract does not count it: create_tensors() adds it
                continue
            written = tensor.name == "y"
            (outputs if written else inputs)[tensor.name] = OpTensorInfo(
                shape=list(tensor.shape),
                dtype=self.tensor_dtype(tensor),
                device=device,
                creator=torch.empty if written else _creator(tensor),
            )
        metadata = {
            "experts_token_count": self.expert_dispatch_token_count,
            "experts_token_offset": self.expert_dispatch_token_offset,
        }
        for name, values in metadata.items():
            inputs[name] = OpTensorInfo(
                shape=[len(values)],
                dtype=torch.int32,
                device=device,
                creator=lambda size, dtype, device, values=values: torch.tensor(values, dtype=dtype, device=device),
            )
        self.input_tensor_info, self.output_tensor_info = inputs, outputs
        self.input_tensor_size = sum(calc_tensor_size(info) for info in inputs.values())
        self.output_tensor_size = sum(calc_tensor_size(info) for info in outputs.values())
        self.tensor_size = self.input_tensor_size + self.output_tensor_size
        # What padded rows take is no work of the op's.
        self.read_bytes = self.problem.read_bytes
        self.write_bytes = self.problem.write_bytes
        self.io_bytes = self.read_bytes + self.write_bytes
        self.calc_flops = self.problem.flops
        self._create_tensors_func = self._create_tensors
        self._run_func = self.vendor_impl_run

    def _create_tensors(self, instance_num: int) -> list[dict[str, Any]]:
        mappings = self._create_in_out_tensors(instance_num)
        m_indptr = torch.tensor(self.m_indptr, dtype=torch.int32, device=self.backend.get_torch_device_name())
        for mapping in mappings:
            mapping["m_indptr"] = m_indptr
        return mappings

    def vendor_impl_run(self, tensor_mapping: dict[str, Any]) -> Any:
        raise NotImplementedError
