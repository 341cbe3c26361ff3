#!/usr/bin/env python3
"""Writes the committed tables behind the seeded draws: src/op/random/normal_table.inc and logarithm_table.inc.

With --check, writes nothing and fails where a committed table differs from what it would write.
Needs Python's standard library only.
"""

import argparse
import decimal
import pathlib
import statistics
import sys
from decimal import Decimal

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "src" / "op" / "random"


def normal_table():
    """Standard normal quantiles at upper-tail probabilities 2^(octave-17) * (1 + step/32), times 2^18."""
    normal = statistics.NormalDist()
    tails = [2.0 ** (octave - 17) * (1 + step / 32) for octave in range(16) for step in range(32)] + [0.5]
    return [round(-normal.inv_cdf(tail) * 2**18) for tail in tails]


def logarithm_table():
    """For 128 intervals of [0.6875, 1.375): c near 1/middle in 20 bits, and -ln(c).

    Below 1 an interval is 2^-8 wide, from 1 on 2^-7. The two that meet at 1 have c = 1, so that ln is exact to the last
    bits where it goes through 0.
    """
    decimal.getcontext().prec = 60
    rows = []
    for index in range(128):
        low = 0x3FE60000 + index * 0x2000  # the upper half of the interval's first double
        middle = double_from_upper(low + 0x1000)
        near_one = low in (0x3FEFE000, 0x3FF00000)
        inverse = Decimal(1) if near_one else Decimal(round(2**19 / middle)) / 2**19
        rows.append((float(inverse), float(-inverse.ln()) if not near_one else 0.0))
    return rows


def double_from_upper(upper):
    exponent = (upper >> 20) - 1023
    return (1 + (upper & 0xFFFFF) / 2**20) * 2.0**exponent


def lines(entries, per_line):
    return [", ".join(entries[i : i + per_line]) + "," for i in range(0, len(entries), per_line)]


def render(comment, rows):
    header = f"// Made by tools/generate_random_tables.py; do not edit. {comment}"
    return "\n".join([header, *rows]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args().check
    files = {
        "normal_table.inc": render(
            "Normal quantiles times 2^18.", lines([str(value) for value in normal_table()], 16)
        ),
        "logarithm_table.inc": render(
            "Pairs c, -ln(c).", [f"{{{c.hex()}, {minus_log.hex()}}}," for c, minus_log in logarithm_table()]
        ),
    }
    stale = []
    for name, text in files.items():
        path = FOLDER / name
        if not check:
            path.write_text(text, encoding="ascii")
        elif path.read_text(encoding="ascii") != text:
            stale.append(name)
    if stale:
        sys.exit(f"differ from what this script writes: {', '.join(stale)}")


if __name__ == "__main__":
    main()
