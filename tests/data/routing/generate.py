#!/usr/bin/env python3
"""Writes seeded_counts.json: what the seeded routings choose, from their description alone.

Expert e's key for token t is -s * ln(rank of e) + its Gumbel number, whose 32 bits are word e mod 4 of the Philox block
(token * 2^18 + e / 4) of stream 0x100; the topk largest keys win. Ranks are dealt by a Fisher-Yates shuffle from stream
0x101. Logarithms are the C library's: the script stops where two keys are too close for that not to matter.
"""

import json
import math
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "random"))
sys.dont_write_bytecode = True

from draws import gumbel, philox  # noqa: E402

CASES = [  # num_tokens, num_experts, topk, routing, seed
    (0, 8, 2, "uniform", 1),
    (1, 8, 8, "uniform", 2),
    (40, 8, 2, "uniform", 0),
    (40, 8, 2, "uniform", 1),
    (100, 7, 3, "uniform", 2**64 - 1),
    (100, 60, 4, "zipf:0", 3),
    (100, 60, 4, "uniform", 3),
    (100, 60, 4, "zipf:1", 3),
    (100, 60, 4, "zipf:1", 4),
    (64, 16, 1, "zipf:2.5", 5),
    (512, 128, 8, "uniform", 42),
    (512, 128, 8, "zipf:1", 42),
    (512, 256, 8, "zipf:0.7", 0x0123456789ABCDEF),
    (3, 5, 5, "zipf:1.25", 9),
    (17, 1, 1, "zipf:1", 9),
]


def experts_by_rank(num_experts, seed):
    order = list(range(num_experts))
    for last in range(num_experts - 1, 0, -1):
        low, high = philox(seed, 0x101, last)[:2]
        other = (high * 2**32 + low) % (last + 1)
        order[last], order[other] = order[other], order[last]
    return order


def route(num_tokens, num_experts, topk, routing, seed):
    exponent = float(routing.split(":")[1]) if routing.startswith("zipf") else 0.0
    log_popularity = [0.0] * num_experts
    for rank, expert in enumerate(experts_by_rank(num_experts, seed), 1):
        log_popularity[expert] = -exponent * math.log(rank)
    tokens = []
    for token in range(num_tokens):
        words = []
        for group in range((num_experts + 3) // 4):
            words += philox(seed, 0x100, token * 2**18 + group)
        keys = [log_popularity[expert] + gumbel(words[expert]) for expert in range(num_experts)]
        ranking = sorted(range(num_experts), key=lambda expert: (-keys[expert], expert))
        for better, worse in zip(ranking[:topk], ranking[1 : topk + 1]):
            assert keys[better] - keys[worse] > 1e-12, "too close for another logarithm"
        tokens.append(ranking[:topk])
    return tokens


def cases():
    for num_tokens, num_experts, topk, routing, seed in CASES:
        tokens = route(num_tokens, num_experts, topk, routing, seed)
        counts = [0] * num_experts
        for experts in tokens:
            for expert in experts:
                counts[expert] += 1
        yield {
            "num_tokens": num_tokens,
            "num_experts": num_experts,
            "topk": topk,
            "routing": routing,
            "seed": seed,
            "counts": counts,
            "first_tokens": tokens[:20],
        }


def main():
    lines = ",\n".join(json.dumps(case) for case in cases())
    (HERE / "seeded_counts.json").write_text(f"[\n{lines}\n]\n", encoding="ascii")


if __name__ == "__main__":
    main()
