// Keys and values as a cache keeps them: bf16, or e4m3 (OCP OFP8) in half the bytes, without a scale.
#pragma once

#include "activations.h"

struct e4m3 {
    uint8_t bits;
};

// 8 bits are a sign, four of exponent e and three of mantissa m: (1 + m / 8) · 2^(e − 7), with e = 0 m / 8 · 2^−6, and all
// seven set are no number. 0x39 is 1.125.
INLINE floats number(bytes x) {
    const words b = __builtin_convertvector(x, words), magnitude = b & 0x7f;
    const floats small = __builtin_convertvector(magnitude, floats) * 0x1p-9f;
    words bits = magnitude < 8 ? (words)small : (magnitude << 20) + (120 << 23);
    bits = magnitude == 0x7f ? words{} + 0x7fc00000 : bits;
    return (floats)(bits | (b & 0x80) << 24);
}

// Nearest, ties to even, and what is beyond ±448 is held there.
INLINE bytes rounded(floats x) {
    const words sign = (words)x & 0x80000000;
    floats magnitude = (floats)((words)x ^ sign);
    magnitude = magnitude > 448.0f ? floats{} + 448.0f : magnitude;
    const words bits = (words)magnitude;
    const words normal = ((bits + 0x7ffff + ((bits >> 20) & 1)) >> 20) - (120 << 3);
    const words small = (words)(magnitude + 0x1.8p14f) & 0xf; // The last bit of so large a number is worth 2^−9.
    words code = magnitude < 0x1p-6f ? small : normal;
    code = magnitude == magnitude ? code : words{} + 0x7f;
    return __builtin_convertvector(code | sign >> 24, bytes);
}

INLINE void keep(const bf16 *from, long count, bf16 *to) { std::memcpy(to, from, count * sizeof(bf16)); }

INLINE void keep(const bf16 *from, long count, e4m3 *to) {
    for (long i = 0; i < count; i += LANES) store(to + i, rounded(widen(load<halves>(from + i))));
}

// `count` neighbouring numbers as bf16 that are in the first-level cache: where they lie, or in `room`.
//
// bf16: a word of every cache line is read. In the order of memory the processor foresees what comes next; the heads, which
// read each its part of every slot, then find it in the first-level cache: decode is twice as fast.
INLINE const bf16 *bring(const bf16 *from, long count, bf16 *) {
    uint64_t seen = 0;
    for (long at = 0; at < count; at += 32) seen |= *(const volatile uint64_t *)(from + at);
    asm volatile("" : : "r"(seen));
    return from;
}

INLINE const bf16 *bring(const e4m3 *from, long count, bf16 *room) {
    long i = 0;
#if defined(__AVX512BF16__) // The pairs of a row of weights, put in order beforehand.
    const Fp8Rows::Tables in_registers = Fp8Rows::all_tables;
    const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
    for (; i + 64 <= count; i += 64) {
        __m512i first, second;
        Fp8Rows::pair(in_registers, _mm512_permutexvar_epi64(order, _mm512_loadu_si512(from + i)), first, second);
        _mm512_store_si512(room + i, first);
        _mm512_store_si512(room + i + 32, second);
    }
#endif
    for (; i < count; i += LANES)
        store(room + i, __builtin_convertvector((words)number(load<bytes>(from + i)) >> 16, halves));
    return room;
}
