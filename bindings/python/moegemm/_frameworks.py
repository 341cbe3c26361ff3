"""What differs between the frameworks that tensors come from.

Only NumPy is imported. Who has a tensor of torch's has imported torch.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Protocol

import numpy

from . import _core


class SupportsDLPack(Protocol):
    """A tensor that another library can use in place."""

    def __dlpack__(self, *args: Any, **kwargs: Any) -> Any: ...

    def __dlpack_device__(self) -> tuple[Any, Any]: ...


#: What a device may be given as: "cpu", "cuda", "cuda:1", torch's device, or DLPack's pair of type and number.
Device = str | tuple[int, int] | Any

CPU = 1  # DLDeviceType
CUDA = 2

_NO_WAIT = -1  # DLPack: the tensor is in order with the stream already

# Types that NumPy has none of its own for are held as whole numbers of their width.
_NUMPY_TYPES = {"bf16": "uint16", "f16": "float16", "f32": "float32", "u8": "uint8"}
_TORCH_TYPES = {"bf16": "bfloat16", "f16": "float16", "f32": "float32", "u8": "uint8", "e4m3": "float8_e4m3fn",
                "e5m2": "float8_e5m2"}  # fmt: skip
# What torch stores in one byte. Not every version of it lends these by DLPack, so they are lent as bytes.
_TORCH_BYTES = {
    "float8_e4m3fn": "e4m3",
    "float8_e5m2": "e5m2",
    "float8_e8m0fnu": "ue8m0",
    "float4_e2m1fn_x2": "e2m1x2",
}


def _torch_of(tensor: object) -> Any:
    """The module torch where the tensor is one of its own, else None."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and isinstance(tensor, torch.Tensor) else None


def lend(tensor: Any, name: str, stream: int = 0, *, writable: bool = False) -> _core.TensorView:
    """The tensor for the library's use on a stream."""
    torch = _torch_of(tensor)
    if torch is None:
        return _core.TensorView(tensor, name, stream, None, writable)
    if tensor.requires_grad:
        tensor = tensor.detach()  # parameters of a model; results have no gradients
    stored = _TORCH_BYTES.get(type_name(tensor.dtype))
    if stored is not None:
        tensor = tensor.view(torch.uint8)
    if not tensor.is_cuda:
        return _core.TensorView(tensor, name, stream, stored, writable)
    number = tensor.device.index
    if torch.cuda.current_stream(number).cuda_stream == stream:
        stream = _NO_WAIT
    if torch.cuda.current_device() == number:
        return _core.TensorView(tensor, name, stream, stored, writable)
    with torch.cuda.device(number):  # torch lends tensors of its current device only
        return _core.TensorView(tensor, name, stream, stored, writable)


def lend_optional(tensor: object, name: str, stream: int = 0) -> _core.TensorView | None:
    return None if tensor is None else lend(tensor, name, stream)


def type_name(dtype: Any) -> str:
    """A type's name, be it given as text, as torch's type or as NumPy's."""
    if isinstance(dtype, str):
        return dtype
    if isinstance(dtype, (numpy.dtype, type)):
        return numpy.dtype(dtype).name
    return str(dtype).removeprefix("torch.")


def library_type(dtype: Any) -> str | None:
    """The same under a name that the library knows; None for None."""
    if dtype is None:
        return None
    name = type_name(dtype)
    return _TORCH_BYTES.get(name, name)


def device_of(tensor: Any) -> tuple[int, int]:
    """DLPack's pair; what has no such method is of the host."""
    method = getattr(tensor, "__dlpack_device__", None)
    if method is None:
        return CPU, 0
    kind, number = method()
    return int(kind), int(number)


def parse_device(device: Device) -> tuple[int, int]:
    if isinstance(device, tuple):
        return int(device[0]), int(device[1])
    kind, _, number = str(device).partition(":")
    if kind == "cpu" and not number:
        return CPU, 0
    if kind == "cuda" and (not number or number.isdecimal()):
        return CUDA, int(number) if number else _current_cuda_device()
    raise ValueError(f"device = {device}: allowed is cpu, cuda or cuda:<number>")


def _initialized_torch() -> Any:
    """torch, where it is loaded and has begun to use CUDA; asking it for more would make it begin."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and torch.cuda.is_initialized() else None


def _current_cuda_device() -> int:
    torch = _initialized_torch()
    return 0 if torch is None else int(torch.cuda.current_device())


def stream_of(device: tuple[int, int], stream: Any) -> int:
    """A CUDA stream as a number: the given one, else torch's current one of the device, else the default stream."""
    if device[0] != CUDA:
        return 0
    if stream is None:
        torch = _initialized_torch()
        if torch is None:
            return 0
        stream = torch.cuda.current_stream(device[1])
    return int(getattr(stream, "cuda_stream", stream))


def can_allocate(like: object, device: tuple[int, int]) -> bool:
    """Whether empty() makes a tensor in the framework of `like` on the device."""
    return device[0] == CPU or _torch_of(like) is not None


def empty(like: object, device: tuple[int, int], shape: Sequence[int], dtype: str, name: str) -> Any:
    """A tensor for the library to fill, in the framework of `like`."""
    torch = _torch_of(like)
    if torch is not None:
        number = f"cuda:{device[1]}" if device[0] == CUDA else "cpu"
        return torch.empty(tuple(shape), dtype=getattr(torch, _TORCH_TYPES[dtype]), device=number)
    if device[0] == CPU:
        return numpy.empty(tuple(shape), _NUMPY_TYPES[dtype])
    raise TypeError(
        f"{name} = None: allowed is a tensor to write to: {type(like).__module__}.{type(like).__name__} is of a "
        "framework that moegemm cannot allocate with"
    )


def empty_bytes(like: object, device: tuple[int, int], size: int, name: str) -> Any:
    """Bytes for packed weights or a workspace: in the host's memory at a multiple of 64."""
    if _torch_of(like) is None and device[0] == CPU:
        memory = numpy.empty(size + 64, numpy.uint8)
        start = -memory.ctypes.data % 64
        return memory[start : start + size]
    return empty(like, device, (size,), "u8", name)


def on_host(tensor: Any) -> Any:
    """A tensor's values in the host's memory: itself, or torch's copy of it, in order with torch's current stream."""
    return tensor if _torch_of(tensor) is None else tensor.detach().cpu()


def copy_to_device(array: numpy.ndarray[Any, Any], device: tuple[int, int], out: Any, name: str) -> Any:
    """Bytes of the host's in a tensor of torch's: `out`, or a new one."""
    torch = sys.modules.get("torch")
    if torch is None or not (out is None or isinstance(out, torch.Tensor)):
        raise TypeError(
            f"{name} = {'None' if out is None else type(out).__name__}: allowed is a tensor of torch's on a GPU: "
            "moegemm cannot write to another framework's there"
        )
    if out is None:
        out = empty_bytes(torch.empty(0), device, array.size, name)
    out[: array.size].copy_(torch.from_numpy(array))
    return out


def like_tensor(array: numpy.ndarray[Any, Any], like: object, dtype: str | None = None) -> Any:
    """An array that the library made, as a tensor of `like`'s framework, with its own type where torch has one."""
    torch = _torch_of(like)
    if torch is None:
        return array
    if array.dtype == numpy.uint16:
        return torch.from_numpy(array.view(numpy.int16)).view(torch.bfloat16)
    tensor = torch.from_numpy(array)
    if dtype in ("e4m3", "e5m2"):
        tensor = tensor.view(getattr(torch, _TORCH_TYPES[dtype]))
    return tensor


def repeated(factor: Any, m_indptr: Any, name: str) -> Any:
    """A tensor of one number, once for each expert, in the same framework."""
    shape = tuple(getattr(factor, "shape", ()))
    if shape != (1,):
        raise ValueError(f"{name} = shape {shape}: allowed is shape (1)")
    experts = int(m_indptr.shape[0]) - 1
    torch = _torch_of(factor)
    if torch is not None:
        return factor.detach().expand(experts).contiguous()
    if device_of(factor)[0] == CPU:
        return numpy.repeat(numpy.from_dlpack(factor), experts)
    raise TypeError(
        f"{name} = {type(factor).__module__}.{type(factor).__name__}: allowed is a tensor of torch's: moegemm cannot "
        "allocate with another framework on a GPU"
    )
