"""Which providers there are, and where plug-ins are found."""

from __future__ import annotations

import os
import threading
import warnings
from pathlib import Path

from . import _core

_lock = threading.Lock()
_searched = False


def load_default_plugins() -> None:
    """At the first call: what MOEGEMM_PLUGIN_PATH names, then the package's own. A refused one is a warning."""
    global _searched
    with _lock:
        if _searched:
            return
        _searched = True
        for entry in os.environ.get("MOEGEMM_PLUGIN_PATH", "").split(":"):
            if entry and not os.path.isdir(entry):
                try:
                    _core.load_plugin(entry)
                except RuntimeError as error:
                    warnings.warn(str(error), RuntimeWarning, stacklevel=3)
            elif entry:
                _load_folder(entry)
        _load_folder(Path(__file__).parent / "plugins")


def _load_folder(folder: str | os.PathLike[str]) -> None:
    for refused in _core.load_plugins(folder):
        warnings.warn(refused, RuntimeWarning, stacklevel=4)


def load_plugin(path: str | os.PathLike[str]) -> None:
    """Loads a plug-in library and adds its providers to those of this process.

    Raises ``RuntimeError`` with the reason for a file that is no plug-in, or whose providers are here already.
    """
    load_default_plugins()
    _core.load_plugin(path)


def providers() -> list[_core.ProviderStatus]:
    """Every provider that the project knows, then the others found: what is here, and why something is not."""
    load_default_plugins()
    return _core.providers()
