#!/usr/bin/env python3
"""Writes the tables of figures in README.md and docs/performance.md from the committed records.

Each table stands between `<!-- table NAME: … -->` and `<!-- end of table NAME -->`; NAME is a function below.
With --check, writes nothing and fails where a table differs from what its records say.
Needs Python's standard library only.
"""

import argparse
import json
import math
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECORDS = ROOT / "docs" / "records"
DOCUMENTS = ["README.md", "docs/performance.md"]
SHAPES = [(16, 2048, 4096), (16, 4096, 2048), (32, 4096, 7168), (32, 7168, 2048)]  # E, N, K of workloads/roofline.json
ROWS = [1, 8, 32, 128, 512, 4096]
CPU_SHAPES = [(8, 2048, 4096), (8, 4096, 2048)]  # of workloads/cpu.json
CPU_ROWS = [1, 8, 32, 128, 512]
HOPPER_VARIANTS = ["bf16", "int8", "fp8", "fp8_token", "fp8_block"]
PROVIDERS_RECORDS = [  # a row's name begins with these words
    ("`bf16`", "bf16", "h200-providers.jsonl"),
    ("`fp8`", "fp8", "h200-providers.jsonl"),
    ("`fp8` without `alpha`", "fp8", "other/h200-fp8-without-alpha.jsonl"),
]
GPU_PROVIDERS = ["hopper", "cuda", "flashinfer", "cudnn", "cublas"]
SCALED_VARIANTS = ["mxfp8", "mxfp4", "mxfp4_a4", "mxfp4_a16", "nvfp4", "nvfp4_a16"]


class Fault(Exception):
    """Records from which a table cannot be made."""


def points(name, provider):
    """The verified cold records of one provider, by variant, (E, N, K) and mean rows an expert."""
    found = {}
    for number, line in enumerate((RECORDS / name).read_text().splitlines(), start=1):
        record = json.loads(line)
        if record["provider"] != provider or record["status"] == "unsupported":
            continue
        where = f"{name}, line {number}"
        if record["status"] != "ok" or record["measurement"]["cache"] != "cold" or not record["verification"]["checked"]:
            raise Fault(f"{where}: not a verified result of cold caches")
        if record["measurement"].get("inexact"):
            raise Fault(f"{where}: operands may have been rounded")
        shape = record["shape"]
        key = record["variant"], (shape["E"], shape["N"], shape["K"]), shape["M"] // shape["E"]
        if key in found:
            raise Fault(f"{where}: a second record of {key}")
        found[key] = record
    return found


def at(records, *key):
    if key not in records:
        raise Fault(f"no record of {key}")
    return records[key]


def ratio(record):
    return record["floor"]["ratio"]


def median_us(record):
    return record["measurement"]["median_us"]


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def microseconds(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def table(header, rows):
    """Markdown; the first column is text."""
    lines = ["| " + " | ".join(header) + " |", "|---|" + "---:|" * (len(header) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def hopper_times():
    """Time and multiple of the floor at the largest layer of the points."""
    records = points("h200-roofline.jsonl", "hopper")
    layer = (32, 4096, 7168)
    rows = []
    for variant in HOPPER_VARIANTS:
        cells = [at(records, variant, layer, r) for r in ROWS]
        rows.append([f"`{variant}`"] + [f"{microseconds(median_us(c))} ({ratio(c):.2f})" for c in cells])
    return table(["variant"] + [f"{r} rows" if r > 1 else "1 row" for r in ROWS], rows)


def hopper_all_times():
    """Time and multiple of the floor at every point."""
    records = points("h200-roofline.jsonl", "hopper")
    rows = []
    for variant in HOPPER_VARIANTS:
        for shape in SHAPES:
            cells = [at(records, variant, shape, r) for r in ROWS]
            name = f"`{variant}` " + " × ".join(map(str, shape))
            rows.append([name] + [f"{microseconds(median_us(c))} ({ratio(c):.2f})" for c in cells])
    return table(["variant, E × N × K"] + [f"r = {ROWS[0]}"] + [str(r) for r in ROWS[1:]], rows)


def skewed(name):
    """The records of a run over the same points with another routing, by provider hopper; none where it is not kept."""
    return points(name, "hopper") if (RECORDS / name).exists() else None


def hopper_floors():
    """Geometric means of the multiple of the floor over the four (E, N, K)."""
    records = points("h200-roofline.jsonl", "hopper")
    columns = [f"r = {ROWS[0]}"] + [str(r) for r in ROWS[1:]] + ["all", "worst"]
    others = []
    for title, name in [("`zipf:1`", "h200-roofline-zipf.jsonl"), ("one expert", "h200-roofline-one-expert.jsonl")]:
        other = skewed(name)
        if other is not None:
            others.append(other)
            columns.append(f"all, {title}")
    rows = []
    for variant in HOPPER_VARIANTS:
        ratios = {r: [ratio(at(records, variant, shape, r)) for shape in SHAPES] for r in ROWS}
        every = [value for values in ratios.values() for value in values]
        cells = [geometric_mean(ratios[r]) for r in ROWS] + [geometric_mean(every), max(every)]
        for other in others:
            cells.append(geometric_mean([ratio(at(other, variant, shape, r)) for shape in SHAPES for r in ROWS]))
        rows.append([f"`{variant}`"] + [f"{value:.2f}" for value in cells])
    return table(["variant"] + columns, rows)


def cuda_beside_hopper():
    """Speed of `cuda` as a share of that of `hopper`: least and most of the four (E, N, K)."""
    name = "other/h200-cuda-beside-hopper.jsonl"
    cuda, hopper = points(name, "cuda"), points(name, "hopper")
    rows = []
    for variant in ["bf16", "fp8"]:
        cells = []
        for r in [512, 4096]:
            shares = [median_us(at(hopper, variant, s, r)) / median_us(at(cuda, variant, s, r)) for s in SHAPES]
            cells.append(f"{min(shares):.2f} to {max(shares):.2f}")
        rows.append([f"`{variant}`"] + cells)
    return table(["variant", "r = 512", "4096"], rows)


def cuda_scaled():
    """Geometric means of the multiple of the floor of the variants with scaled groups, provider `cuda`."""
    records = points("other/h200-cuda-mx.jsonl", "cuda")
    rows = []
    for variant in SCALED_VARIANTS:
        means = [geometric_mean([ratio(at(records, variant, s, r)) for s in SHAPES]) for r in ROWS]
        rows.append([f"`{variant}`"] + [f"{value:.1f}" for value in means])
    return table(["variant"] + [f"r = {ROWS[0]}"] + [str(r) for r in ROWS[1:]], rows)


def four_bit_floors():
    """Geometric means of the multiple of the floor of variants whose weights are decoded, provider `hopper`."""
    records = points("h200-four-bit.jsonl", "hopper")
    skewed_records = skewed("h200-four-bit-zipf.jsonl")
    rows = []
    for variant in SCALED_VARIANTS:
        ratios = {r: [ratio(at(records, variant, shape, r)) for shape in SHAPES] for r in ROWS}
        cells = [geometric_mean(ratios[r]) for r in ROWS] + [max(value for values in ratios.values() for value in values)]
        if skewed_records is not None:
            cells.append(geometric_mean([ratio(at(skewed_records, variant, s, r)) for s in SHAPES for r in ROWS]))
        rows.append([f"`{variant}`"] + [f"{value:.2f}" for value in cells])
    header = ["variant"] + [f"r = {ROWS[0]}"] + [str(r) for r in ROWS[1:]] + ["worst"]
    return table(header + (["all, `zipf:1`"] if skewed_records is not None else []), rows)


def four_bit_beside_bf16():
    """Speed of the same variants as a multiple of that of bf16, and of fp8_block for comparison: geometric means."""
    records = points("h200-four-bit.jsonl", "hopper")
    rows = []
    for variant in SCALED_VARIANTS + ["fp8_block"]:
        cells = []
        for r in ROWS:
            shares = [median_us(at(records, "bf16", s, r)) / median_us(at(records, variant, s, r)) for s in SHAPES]
            cells.append(f"{geometric_mean(shares):.2f}")
        rows.append([f"`{variant}`"] + cells)
    return table(["variant"] + [f"r = {ROWS[0]}"] + [str(r) for r in ROWS[1:]], rows)


def beside(shapes):
    """Times of every provider for GPUs on the same points, and the floors of the first."""
    rows = []
    for words, variant, file in PROVIDERS_RECORDS:
        records = {name: points(file, name) for name in GPU_PROVIDERS}
        for shape in shapes:
            for r in ROWS:
                key = variant, shape, r
                floor = at(records["hopper"], *key)["floor"]
                cells = [median_us(records[name][key]) if key in records[name] else None for name in GPU_PROVIDERS]
                cells.append(max(floor["read_us"], floor["compute_us"]))
                name = words + (" " + " × ".join(map(str, shape)) if len(shapes) > 1 else "")
                rows.append([f"{name}, {r}"] + ["" if cell is None else microseconds(cell) for cell in cells])
    first = "variant, E × N × K, rows an expert" if len(shapes) > 1 else "variant, rows an expert"
    return table([first] + [f"`{name}`" for name in GPU_PROVIDERS] + ["floor"], rows)


def providers_beside():
    """Every provider at the largest layer of the points."""
    return beside([(32, 4096, 7168)])


def providers_beside_everywhere():
    """Every provider at every point."""
    return beside(SHAPES)


def cpu_floors(name):
    """Geometric means of the multiple of the floor over the two (E, N, K) of workloads/cpu.json, and oneDNN's."""
    records, peers = points(name, "cpu"), points(name, "onednn")
    rows = []
    for variant in ["bf16", "int8", "fp8", "fp8_token", "fp8_block"] + SCALED_VARIANTS:
        cells = []
        for source in [records, peers]:
            has = all((variant, s, r) in source for s in CPU_SHAPES for r in CPU_ROWS)
            for r in CPU_ROWS:
                mean = geometric_mean([ratio(at(source, variant, s, r)) for s in CPU_SHAPES]) if has else None
                cells.append("" if mean is None else f"{mean:.2f}")
        rows.append([f"`{variant}`"] + cells)
    rows_of = [f"r = {CPU_ROWS[0]}"] + [str(r) for r in CPU_ROWS[1:]]
    return table(["variant"] + [f"`cpu` {r}" for r in rows_of] + [f"`onednn` {r}" for r in rows_of], rows)


def cpu_times(name):
    """Times of the first shape of workloads/cpu.json in milliseconds."""
    records, peers = points(name, "cpu"), points(name, "onednn")
    rows = []
    for variant in ["bf16", "int8", "fp8", "fp8_token", "fp8_block"] + SCALED_VARIANTS:
        cells = []
        for source in [records, peers]:
            for r in CPU_ROWS:
                record = source.get((variant, CPU_SHAPES[0], r))
                cells.append("" if record is None else f"{median_us(record) / 1000:.2f}")
        rows.append([f"`{variant}`"] + cells)
    rows_of = [f"r = {CPU_ROWS[0]}"] + [str(r) for r in CPU_ROWS[1:]]
    return table(["variant"] + [f"`cpu` {r}" for r in rows_of] + [f"`onednn` {r}" for r in rows_of], rows)


TABLES = {
    "cpu_gfni_floors": lambda: cpu_floors("cpu-avx512-gfni.jsonl"),
    "cpu_avx2_floors": lambda: cpu_floors("cpu-avx2.jsonl"),
    "cpu_bf16_floors": lambda: cpu_floors("cpu-avx512-bf16.jsonl"),
    "cpu_amx_floors": lambda: cpu_floors("cpu-amx.jsonl"),
    "cpu_amx_times": lambda: cpu_times("cpu-amx.jsonl"),
    "hopper_times": hopper_times,
    "hopper_all_times": hopper_all_times,
    "hopper_floors": hopper_floors,
    "four_bit_floors": four_bit_floors,
    "four_bit_beside_bf16": four_bit_beside_bf16,
    "cuda_beside_hopper": cuda_beside_hopper,
    "cuda_scaled": cuda_scaled,
    "providers_beside": providers_beside,
    "providers_beside_everywhere": providers_beside_everywhere,
}


def refreshed(text, used):
    """The document with its tables made anew; the names of those go to `used`."""

    def made(match):
        used.add(match["name"])
        if match["name"] not in TABLES:
            raise Fault(f"no table is called {match['name']}")
        return f"{match['begin']}\n{TABLES[match['name']]()}\n{match['end']}"

    return re.sub(
        r"(?P<begin><!-- table (?P<name>\w+)\b[^>]*-->)\n.*?(?P<end><!-- end of table (?P=name) -->)", made, text, flags=re.S
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="fail where a document's table is another")
    check = parser.parse_args().check
    used, stale = set(), []
    try:
        for name in DOCUMENTS:
            file = ROOT / name
            text = file.read_text(encoding="utf-8")
            new = refreshed(text, used)
            if new != text:
                stale.append(name)
                if not check:
                    file.write_text(new, encoding="utf-8")
        if missing := TABLES.keys() - used:
            raise Fault(f"no document has a table {', '.join(sorted(missing))}")
    except Fault as fault:
        sys.exit(f"{fault}")
    if check and stale:
        sys.exit(f"{', '.join(stale)}: not what the records say; run tools/performance_tables.py")


if __name__ == "__main__":
    main()
