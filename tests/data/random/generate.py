#!/usr/bin/env python3
"""Writes operand_codes.json: stored elements of every variant's operands, from draws.py."""

import json
import pathlib

from draws import SCALE_EXPONENT, code

# variant, A, W, scale dtype (None: no scales), A has scales, alpha
VARIANTS = [
    ("bf16", "bf16", "bf16", None, False, False),
    ("int8", "i8", "i8", "f32", True, False),
    ("fp8", "e4m3", "e4m3", None, False, True),
    ("fp8", "e5m2", "e4m3", None, False, True),
    ("fp8_token", "e4m3", "e5m2", "f32", True, False),
    ("fp8_block", "e4m3", "e4m3", "f32", True, False),
    ("mxfp8", "e5m2", "e4m3", "ue8m0", True, False),
    ("mxfp4", "e4m3", "e2m1x2", "ue8m0", True, False),
    ("mxfp4_a4", "e2m1x2", "e2m1x2", "ue8m0", True, False),
    ("mxfp4_a16", "bf16", "e2m1x2", "ue8m0", False, False),
    ("nvfp4", "e2m1x2", "e2m1x2", "ue4m3", True, True),
    ("nvfp4_a16", "bf16", "e2m1x2", "ue4m3", False, True),
]
SEEDS = [0, 1, 0x0123456789ABCDEF, 2**64 - 1]


def cases():
    number = 0
    for variant, a, w, scale, a_scaled, alpha in VARIANTS:
        tensors = [("a", a, 0), ("w", w, 0)]
        if a_scaled:
            tensors.append(("a_scale", scale, -SCALE_EXPONENT[a]))
        if scale:
            tensors.append(("w_scale", scale, -SCALE_EXPONENT[w]))
        if alpha:
            tensors.append(("alpha", "f32", -SCALE_EXPONENT[a] - SCALE_EXPONENT[w]))
        for role, dtype, exponent in tensors:
            seed = SEEDS[number % len(SEEDS)]
            number += 1
            # The start, an odd place in the middle, and either side of where the block's number needs a second word.
            for first, count in [(0, 100), (123457, 40), (2**35 - 13, 30)]:
                yield {
                    "variant": variant,
                    "a": a,
                    "w": w,
                    "role": role,
                    "dtype": dtype,
                    "seed": seed,
                    "first": first,
                    "codes": [code(dtype, exponent, seed, role, first + i) for i in range(count)],
                }


def main():
    lines = ",\n".join(json.dumps(case) for case in cases())
    pathlib.Path(__file__).with_name("operand_codes.json").write_text(f"[\n{lines}\n]\n", encoding="ascii")


if __name__ == "__main__":
    main()
