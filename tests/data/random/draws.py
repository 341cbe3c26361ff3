"""The seeded draws once more, written from the descriptions alone: slow, in plain Python, sharing nothing with src/op.

Used by generate.py here and in ../routing to make the golden data that the C++ tests compare with.
"""

import math
import statistics
import struct

MASK = 0xFFFFFFFF


def philox(seed, stream, index):
    """Philox4x32-10 (Salmon et al., SC'11) with the counter (index, stream) and the key seed, low words first."""
    counter = [index & MASK, index >> 32, stream & MASK, stream >> 32]
    key = [seed & MASK, seed >> 32]
    for _ in range(10):
        left = 0xD2511F53 * counter[0]
        right = 0xCD9E8D57 * counter[2]
        counter = [
            (right >> 32) ^ counter[1] ^ key[0],
            right & MASK,
            (left >> 32) ^ counter[3] ^ key[1],
            left & MASK,
        ]
        key = [(key[0] + 0x9E3779B9) & MASK, (key[1] + 0xBB67AE85) & MASK]
    return counter


def f32(value):
    """Rounded to binary32, ties to even."""
    return struct.unpack("<f", struct.pack("<f", value))[0]


def f32_bits(value):
    return struct.unpack("<I", struct.pack("<f", value))[0]


QUANTILES = [
    round(statistics.NormalDist().inv_cdf(1 - tail if tail > 0.25 else tail) * (2**18 if tail > 0.25 else -(2**18)))
    for tail in [math.ldexp(32 + step, octave - 22) for octave in range(16) for step in range(32)] + [0.5]
]


def fixed_normal(draw):
    """A signed multiple of 2^-28: linear between quantiles of the upper tail (2t + 1)/2^17."""
    tail = 2 * (draw % 32768) + 1
    octave = tail.bit_length() - 1
    step, rest = divmod((tail << (15 - octave)) - 32768, 1024)
    low = 32 * octave + step
    magnitude = QUANTILES[low] * (1024 - rest) + QUANTILES[low + 1] * rest
    return -magnitude if draw >= 32768 else magnitude


def normal(draw):
    return f32(float(fixed_normal(draw))) * 2.0**-28


def magnitudes(exponent_bits, mantissa_bits, bias, count):
    """The first `count` non-negative numbers of a format."""
    values = []
    for code in range(count):
        exponent, mantissa = divmod(code, 1 << mantissa_bits)
        assert exponent < 1 << exponent_bits
        if exponent == 0:
            values.append(math.ldexp(mantissa, 1 - bias - mantissa_bits))
        else:
            values.append(math.ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits))
    return values


E4M3 = magnitudes(4, 3, 7, 0x7F)
E5M2 = magnitudes(5, 2, 15, 0x7C)
E2M1 = magnitudes(2, 1, 1, 8)


def nearest(numbers, value, sign_bit):
    """The code of the nearest number, ties to the even code, beyond the last one the last one."""
    distance = [abs(number - abs(value)) for number in numbers]
    best = min(distance)
    codes = [code for code, d in enumerate(distance) if d == best]
    code = codes[0] if len(codes) == 1 else next(c for c in codes if c % 2 == 0)
    return code | (sign_bit if value < 0 else 0)


def bf16(value):
    bits = f32_bits(value)
    upper, rest = divmod(bits, 65536)
    if rest > 32768 or (rest == 32768 and upper % 2 == 1):
        upper += 1
    return upper


def int8(draw):
    value = fixed_normal(draw) * 127
    rounded = min(127, (abs(value) + 2**29) // 2**30)
    return (-rounded if value < 0 else rounded) % 256


def e2m1(draw8):
    return nearest(E2M1, f32(normal(draw8 * 256 + 128) * f32(2.4)), 8)


SCALE_EXPONENT = {"bf16": 0, "i8": 5, "e4m3": 7, "e5m2": 14, "e2m1x2": 1}


def element(dtype, draw, exponent=0):
    """The stored element of 16 random bits."""
    if dtype == "bf16":
        return bf16(normal(draw))
    if dtype == "i8":
        return int8(draw)
    if dtype == "e4m3":
        return nearest(E4M3, f32(normal(draw) * 112.0), 0x80)
    if dtype == "e5m2":
        return nearest(E5M2, f32(normal(draw) * 14336.0), 0x80)
    if dtype == "e2m1x2":
        return e2m1(draw % 256) + 16 * e2m1(draw // 256)
    if dtype == "ue8m0":
        return 127 + exponent - draw % 4
    if dtype == "ue4m3":
        return 40 + draw % 32
    assert dtype == "f32"
    high, low = draw // 4, draw % 4
    fraction = high * 512 + high // 32
    return f32_bits(math.ldexp(1 + fraction / 2**23, exponent - low))


ROLES = ["a", "w", "a_scale", "w_scale", "alpha"]


def code(dtype, exponent, seed, role, index):
    block, lane = divmod(index, 8)
    word = philox(seed, ROLES.index(role), block)[lane // 2]
    return element(dtype, word // 65536 if lane % 2 else word % 65536, exponent)


def gumbel(bits):
    """With the C library's logarithm: equal to a few units in the last place."""
    return -math.log(-math.log((bits + 0.5) / 2**32))
