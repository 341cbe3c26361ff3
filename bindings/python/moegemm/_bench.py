"""The benchmark: the program of the same version, which lies in the package, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

#: Beside the package's plugins/, where it looks for them.
_PROGRAM = Path(__file__).with_name("moegemm")

#: Plug-ins for the program only, where the package has any: what they bring along is in no process of Python's.
_PROGRAM_PLUGINS = Path(__file__).with_name("program_plugins")

#: A case of a workload: the op's arguments, a list of values for a key standing for as many cases.
Case = Mapping[str, Any]


def program() -> NoReturn:
    """`moegemm` on the command line."""
    os.execve(_PROGRAM, ["moegemm", *sys.argv[1:]], _environment())


def _environment() -> dict[str, str]:
    """The program's: ours, with its plug-ins behind those that MOEGEMM_PLUGIN_PATH names."""
    if not _PROGRAM_PLUGINS.is_dir():
        return dict(os.environ)
    named = os.environ.get("MOEGEMM_PLUGIN_PATH", "")
    return {**os.environ, "MOEGEMM_PLUGIN_PATH": f"{named}:{_PROGRAM_PLUGINS}" if named else str(_PROGRAM_PLUGINS)}


def _names(option: str, names: str | Iterable[str] | None) -> list[str]:
    if names is None:
        return []
    return [option, names if isinstance(names, str) else ",".join(names)]


def _value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _filter(key: str, allowed: Any) -> str:
    values = [allowed] if isinstance(allowed, str) or not isinstance(allowed, Iterable) else list(allowed)
    return f"{key}={'|'.join(_value(value) for value in values)}"


def _entry(case: Case) -> dict[str, Any]:
    """A case as a workload file has it."""
    entry = {"arg_type": "llm", **case}  # the only kind of arguments that the op has
    routing = entry.get("routing")
    if isinstance(routing, str) and routing.startswith("counts:"):
        # The program looks from the workload's folder, the caller from its own.
        entry["routing"] = "counts:" + os.path.abspath(routing.removeprefix("counts:"))
    return entry


def _is_path(workload: object) -> bool:
    return isinstance(workload, (str, os.PathLike))


def _files(workload: Any, folder: str) -> list[str]:
    """The workload as files: those that it names, or one that is made of its cases."""
    if workload is None:
        return []
    if _is_path(workload) or isinstance(workload, Mapping):
        workload = [workload]
    workload = list(workload)
    cases = [entry for entry in workload if not _is_path(entry)]
    if not cases:
        return [os.fspath(entry) for entry in workload]
    if len(cases) != len(workload):
        raise TypeError("workload = files and cases: allowed is either files or cases")
    entries = [_entry(case) for case in cases]
    file = Path(folder) / "cases.json"
    file.write_text(json.dumps({"moe_quant_group_gemm": entries}))
    return [str(file)]


def bench(
    workload: str | os.PathLike[str] | Case | Sequence[str | os.PathLike[str]] | Sequence[Case] | None = None,
    *,
    providers: str | Iterable[str] | None = None,
    device: str = "cpu",
    variants: str | Iterable[str] | None = None,
    filters: Mapping[str, Any] | None = None,
    limit: int | None = None,
    routing: str | None = None,
    seed: int | None = None,
    verify: str | None = None,
    cache: str | None = None,
    threads: int | None = None,
    min_time: float | None = None,
    max_time: float | None = None,
    inexact: bool = False,
    graph: bool = False,
    dry_run: bool = False,
    out: str | os.PathLike[str] | None = None,
    plugins: Iterable[str | os.PathLike[str]] = (),
) -> list[dict[str, Any]]:
    """Measures and verifies providers over cases, as `moegemm bench` does: a record a case and provider.

    workload: workload files, or cases as dictionaries of the op's arguments; None for the quick start.
    filters: the cases with these arguments only; a list for several values.
    out: a folder for `records.jsonl` and `machine.json`, too.
    The other arguments are the options of `moegemm bench` (docs/cli.md), which has the defaults of those that are None.

    A case that fails or a result that is wrong is a record of that status. ``ValueError`` for arguments or a workload
    that cannot be understood, ``RuntimeError`` for a run that came to nothing. The process that measures loads the
    plug-ins that `plugins` and MOEGEMM_PLUGIN_PATH name and the package's own, not those of `load_plugin`.
    """
    options = [*_names("--provider", providers), "--device", device, *_names("--variant", variants)]
    for key, allowed in (filters or {}).items():
        options += ["--filter", _filter(key, allowed)]
    single = {
        "--limit": limit,
        "--routing": routing,
        "--seed": seed,
        "--verify": verify,
        "--cache": cache,
        "--threads": threads,
        "--min-time": min_time,
        "--max-time": max_time,
        "--out": None if out is None else os.fspath(out),
    }
    for option, value in single.items():
        if value is not None:
            options += [option, str(value)]
    options += ["--inexact"] * inexact + ["--graph"] * graph + ["--dry-run"] * dry_run
    for plugin in plugins:
        options += ["--plugin", os.fspath(plugin)]
    with tempfile.TemporaryDirectory(prefix="moegemm-") as folder:
        command = [str(_PROGRAM), "bench", *_files(workload, folder), *options, "--format", "jsonl"]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=_environment()
        )
    records = [json.loads(line) for line in done.stdout.splitlines()]
    said = done.stderr.strip()
    if done.returncode == 2:
        raise ValueError(said.removeprefix("moegemm: "))
    # 1 is for a case that failed, too, of which there is a record then.
    if done.returncode != 0 and not (done.returncode == 1 and records):
        raise RuntimeError(f"moegemm bench ended with status {done.returncode}: {said}")
    return records
