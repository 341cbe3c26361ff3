"""What FlashInfer's functions have in common: the op's call, with errors under the names of their arguments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from .._op import moe_quant_group_gemm


def refuse(kind: type[Exception], argument: str, value: object, allowed: str) -> NoReturn:
    """Raises an error like the library's own."""
    error: Any = kind(f"{argument} = {value}: allowed is {allowed}")
    error.argument, error.value, error.allowed = argument, str(value), allowed
    raise error


def check_backend(backend: str, names: Sequence[str]) -> None:
    """A backend of FlashInfer's is as good as another here, but what is none is a mistake there, too."""
    if backend not in names:
        refuse(ValueError, "backend", backend, "one of " + ", ".join(names))


@contextmanager
def _renamed(names: dict[str, str]) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, NotImplementedError) as error:
        named: Any = error
        name = names.get(getattr(error, "argument", ""))
        if name is not None:
            named.argument = name
            named.args = (f"{name} = {named.value}: allowed is {named.allowed}",)
        raise


def grouped_gemm(
    variant: str,
    a: Any,
    b: Any,
    m_indptr: Any,
    *,
    a_scale: tuple[str, Any] = ("a_scale", None),
    b_scale: tuple[str, Any] = ("b_scale", None),
    alpha: Any = None,
    scale_layout: str | None = None,
    out: Any,
    out_dtype: Any,
) -> Any:
    """One call of the op. The scales come with the names that the caller's function has for them."""
    names = {
        "scatter_tokens": "a",
        "experts_weight": "b",
        "a_scale": a_scale[0],
        "b_scale": b_scale[0],
        "dst_dtype": "out_dtype",
        "y": "out",
    }
    with _renamed(names):
        return moe_quant_group_gemm(
            a,
            b,
            m_indptr,
            variant=variant,
            a_scale=a_scale[1],
            b_scale=b_scale[1],
            alpha=alpha,
            scale_layout=scale_layout,
            out=out,
            dst_dtype=out_dtype,
        )
