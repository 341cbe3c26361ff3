"""Tensors made with DLPack's C struct, which say of themselves what a test wants. Their memory is the host's where none
is given."""

from __future__ import annotations

import ctypes
import math
from typing import Any

CPU = 1
CUDA = 2


class DLTensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class DLManagedTensor(ctypes.Structure):
    pass


Deleter = ctypes.CFUNCTYPE(None, ctypes.POINTER(DLManagedTensor))
DLManagedTensor._fields_ = [("tensor", DLTensor), ("context", ctypes.c_void_p), ("deleter", Deleter)]

TYPES = {"bf16": (4, 16), "f16": (2, 16), "f32": (2, 32), "i32": (0, 32), "i8": (0, 8), "u8": (1, 8), "e5m2": (12, 8)}

_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


#: Whoever has borrowed a tensor may outlive every reference to it, as in a traceback.
_lent: list[CudaTensor] = []


class CudaTensor:
    """Counts how often it was lent and given back, and keeps the streams that it was told."""

    def __init__(
        self,
        dtype: str,
        shape: tuple[int, ...],
        device: int = 0,
        old: bool = False,
        address: int | None = None,
        kind: int = CUDA,
    ) -> None:
        code, bits = TYPES[dtype]
        if address is None:
            self._buffer = ctypes.create_string_buffer(math.prod(shape) * bits // 8 + 256)
            address = (ctypes.addressof(self._buffer) + 255) // 256 * 256
        self.address = address
        self._shape = (ctypes.c_int64 * len(shape))(*shape)
        self.kind = kind
        self.device = device
        self.old = old  # knows nothing of max_version
        self.streams: list[Any] = []
        self.given_back = 0
        self._deleter = Deleter(self._delete)
        tensor = DLTensor(self.address, kind, device, len(shape), code, bits, 1, self._shape, None, 0)
        self._managed = DLManagedTensor(tensor, None, self._deleter)

    def _delete(self, _managed: Any) -> None:
        self.given_back += 1
        _lent.remove(self)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.kind, self.device

    def __dlpack__(self, *, stream: Any = None, **more: Any) -> Any:
        if self.old and more:
            raise TypeError(f"unexpected {more}")
        self.streams.append(stream)
        _lent.append(self)
        return _new_capsule(ctypes.addressof(self._managed), b"dltensor", None)
