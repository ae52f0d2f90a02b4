// Rows of weights times activations, on AVX512-BF16: 32 products an instruction.
//
// Activations are bf16, each row in the order that its matrix is unpacked in, filled up with zeros. An MXFP4 row is
// read 64 bytes at a time, 128 columns: three shifts bring every nibble to the place where one table look-up makes it a
// bf16, scale included.
//
// R rows are multiplied with T activations at once: what is loaded or unpacked is used many times, and up to 16 sums
// hide the time that one takes. Each product is a single sum over the columns in their order, whatever R and T are:
// a token's result does not depend on its company. What comes after the rows is asked for in the order of memory: where
// they lie side by side it comes fastest so, and some processors do not look far enough ahead along a single one.
#pragma once

#include <algorithm>
#include <cmath>
#include <immintrin.h>

#include "mxfp4_order.h"
#include "vector.h"

typedef bf16 Activation;
typedef __m512 Sum;
constexpr int TOKENS = 8;   // Activations that rows are multiplied with at a time, their sums in registers.

// The first `there` bytes of 64, zeros after them.
INLINE __m512i load_first(const void *from, long there) {
    return there >= 64 ? _mm512_loadu_si512(from) : _mm512_maskz_loadu_epi8((1ULL << there) - 1, from);
}

INLINE __m512 dot(__m512 sum, __m512i a, __m512i b) { return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b); }

INLINE void add_up_four(const __m512 *s, float *out) {
    __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(s[0], s[1]), _mm512_unpackhi_ps(s[0], s[1]));
    __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(s[2], s[3]), _mm512_unpackhi_ps(s[2], s[3]));
    __m512 lanes = _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xee));
    __m256 half = _mm256_add_ps(_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps(lanes, 1));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
}

// 32 columns of R rows times those of T activations that begin at k.
template <int R, int T>
INLINE void add_products(const __m512i (&weights)[R], const Activation *const *x, long k, __m512 (&sums)[T][R]) {
#pragma GCC unroll 8
    for (int t = 0; t < T; t++) {
        __m512i activations = _mm512_loadu_si512(x[t] + k);
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) sums[t][r] = dot(sums[t][r], weights[r], activations);
    }
}

// bf16 rows in their own order, `stride` apart; columns in multiples of 32. From memory, or in the cache already.
template <bool FROM_MEMORY> struct RowsOfBf16 {
    static constexpr bool TILED = FROM_MEMORY, PACKED = false; // On AMX.
    static constexpr long AHEAD = 3072;
    const bf16 *values;
    long columns, stride;

    // For one or two activations memory is the limit, and it is fastest one row after the other.
    static constexpr int beside(int tokens) { return tokens <= 2 ? 1 : tokens <= 4 ? 4 : 2; }
    static long padded(long columns) { return columns; }
    static INLINE void put(Activation *to, long k, long, halves x) { store(to + k, x); }
    INLINE float scale(long) const { return 1.0f; }

    template <int R, int T> INLINE void accumulate(long row, const Activation *const *x, __m512 (&sums)[T][R]) const {
        const bf16 *w = values + row * stride, *ahead = w + R * stride + AHEAD;
        for (long k = 0; k < columns; k += 32) {
            __m512i weights[R];
#pragma GCC unroll 4
            for (int r = 0; r < R; r++) {
                if (FROM_MEMORY) ask_for_ahead(ahead + R * k + 32 * r);
                weights[r] = _mm512_loadu_si512(w + r * stride + k);
            }
            add_products(weights, x, k, sums);
        }
    }
};

typedef RowsOfBf16<true> Bf16Rows;
typedef RowsOfBf16<false> CachedRows;

// e4m3 rows with a scale each, 64 columns at a time: two table look-ups give the two bytes of each bf16, and
// unpacking these leaves columns 0–7 of every 16 in one register, 8–15 in the other.
struct Fp8Rows {
    static constexpr bool TILED = true, PACKED = true;
    static constexpr long AHEAD = 4096; // Bytes.
    static constexpr long WHOLE = 128;  // Columns that tiles are made of together.
    const uint8_t *values;
    const float *scales;
    long columns;

    static constexpr int beside(int tokens) { return tokens <= 4 ? 4 : 2; }
    static long padded(long columns) { return (columns + WHOLE - 1) / WHOLE * WHOLE; }
    static INLINE void put(Activation *to, long k, long, halves x) {
        to += k / 64 * 64 + k % 64 / 2;
        std::memcpy(to, &x, 16);
        std::memcpy(to + 32, (const char *)&x + 16, 16);
    }
    INLINE float scale(long row) const { return scales[row]; }
    static constexpr long bytes(long columns) { return columns; }
    INLINE const uint8_t *packed() const { return values; }

    struct Tables {
        __m512i high[2], low[2];
        Tables() {
            uint8_t h[128], l[128];
            for (int m = 0; m < 128; m++) { // 7 bits of e4m3: m / 8 is the exponent, of which 0 stands for 1 and no 1.f
                bf16 value = to_bf16(m < 8 ? std::ldexp(float(m), -9) : std::ldexp(float(8 + m % 8), m / 8 - 10));
                if (m == 127) value = to_bf16(NAN);
                h[m] = uint8_t(value >> 8), l[m] = uint8_t(value);
            }
            for (int i = 0; i < 2; i++) high[i] = _mm512_loadu_si512(h + 64 * i), low[i] = _mm512_loadu_si512(l + 64 * i);
        }
    };

    static INLINE void pair(const Tables &tables, __m512i b, __m512i &first, __m512i &second) {
        __m512i high = _mm512_permutex2var_epi8(tables.high[0], b, tables.high[1]);
        __m512i low = _mm512_permutex2var_epi8(tables.low[0], b, tables.low[1]);
        high = _mm512_ternarylogic_epi32(high, b, _mm512_set1_epi8(char(0x80)), 0xf8); // high | (b & sign)
        first = _mm512_unpacklo_epi8(low, high);
        second = _mm512_unpackhi_epi8(low, high);
    }

    INLINE __m512i read(long row, long k, long there) const { return load_first(values + row * columns + k, there); }

    template <int R, int T> INLINE void accumulate(long row, const Activation *const *x, __m512 (&sums)[T][R]) const {
        const Tables in_registers = all_tables;
        const uint8_t *ahead = values + row * columns + AHEAD;
        for (long k = 0; k < columns; k += 64) {
            __m512i first[R], second[R];
#pragma GCC unroll 4
            for (int r = 0; r < R; r++) {
                ask_for(ahead + R * k + 64 * r);
                pair(in_registers, read(row + r, k, columns - k), first[r], second[r]);
            }
            add_products(first, x, k, sums);
            add_products(second, x, k + 32, sums);
        }
    }

    class Pieces; // See pieces.h.

    static const Tables all_tables;
};

const Fp8Rows::Tables Fp8Rows::all_tables;

// Rows of MXFP4 in the order of mxfp4_order.h. There is a table of values for each scale: those few that a checkpoint has
// stay in the first-level cache, and the units that look up and multiply have nothing else to do. Scale bytes beyond 252
// count as 252, the last under which every value is a bf16; trained checkpoints have none of them.
struct Mxfp4Rows {
    static constexpr bool TILED = true, PACKED = true;
    static constexpr long AHEAD = 4096; // Bytes.
    const uint8_t *blocks, *scale_bytes;
    long columns;

    static constexpr int beside(int tokens) { return tokens <= 4 ? 4 : 2; }
    static long padded(long columns) { return (columns + TOGETHER - 1) / TOGETHER * TOGETHER; }
    // What is left of a row: the columns of nibbles j from 32 j on.
    static INLINE void put(Activation *to, long k, long columns, halves x) {
        const long rest = columns / TOGETHER * TOGETHER, words = (columns - rest) / 4;
        if (k < rest) return store(to + k, x);
        for (long half = 0, at = k - rest; half < 2; half++, at += 8)
            std::memcpy(to + rest + at / words * 32 + at % words, (const char *)&x + 16 * half, 16);
    }
    INLINE float scale(long) const { return 1.0f; }
    static constexpr long bytes(long columns) { return columns / 2; }
    INLINE const uint8_t *packed() const { return blocks; }

    // The values of the 16 nibbles, twice: the fifth bit of an index belongs to the next nibble.
    struct Tables {
        alignas(64) bf16 scaled[256][32];
        Tables() {
            const float values[8] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
            for (int byte = 0; byte < 256; byte++)
                for (int i = 0; i < 32; i++)
                    scaled[byte][i] = to_bf16(std::ldexp(i & 8 ? -values[i & 7] : values[i & 7], std::min(byte, 252) - 127));
        }
    };
    static const Tables tables;

    // Columns 32 J … 32 J + 31 of 128; `scales` are those of the 128.
    template <int J> static INLINE __m512i values(__m512i packed, const uint8_t *scales) {
        return _mm512_permutexvar_epi16(_mm512_srli_epi16(packed, 4 * J), _mm512_load_si512(tables.scaled[scales[J]]));
    }

    // Columns words · J … words · J + words − 1 of what is left of a row, which two scales may share.
    template <int J> static INLINE __m512i values_of_rest(__m512i packed, const uint8_t *scales, long words) {
        const long first = words * J / 32, last = (words * (J + 1) - 1) / 32;
        const __m512i nibbles = _mm512_srli_epi16(packed, 4 * J);
        const __m512i values = _mm512_permutexvar_epi16(nibbles, _mm512_load_si512(tables.scaled[scales[first]]));
        if (first == last) return values;
        return _mm512_mask_permutexvar_epi16(
            values, ~0U << (32 * last - words * J), nibbles, _mm512_load_si512(tables.scaled[scales[last]]));
    }

    template <int J, int R, int T>
    static INLINE void add_nibbles(
        const __m512i (&packed)[R], const uint8_t *scales, long stride, long rest, const Activation *const *x,
        long k, __m512 (&sums)[T][R]) {
        __m512i weights[R];
#pragma GCC unroll 4
        for (int r = 0; r < R; r++, scales += stride)
            weights[r] = rest ? values_of_rest<J>(packed[r], scales, rest) : values<J>(packed[r], scales);
        add_products(weights, x, k + 32 * J, sums);
    }

    template <int R, int T>
    INLINE void add_columns(long row, long k, long rest, const Activation *const *x, __m512 (&sums)[T][R]) const {
        const uint8_t *from = blocks + (row * columns + k) / 2, *scales = scale_bytes + (row * columns + k) / 32;
        const uint8_t *ahead = blocks + row * columns / 2 + R * k / 2 + AHEAD;
        __m512i packed[R];
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            ask_for(ahead + 64 * r);
            packed[r] = load_first(from + r * columns / 2, rest ? 2 * rest : 64);
        }
        add_nibbles<0>(packed, scales, columns / 32, rest, x, k, sums);
        add_nibbles<1>(packed, scales, columns / 32, rest, x, k, sums);
        add_nibbles<2>(packed, scales, columns / 32, rest, x, k, sums);
        add_nibbles<3>(packed, scales, columns / 32, rest, x, k, sums);
    }

    template <int R, int T> INLINE void accumulate(long row, const Activation *const *x, __m512 (&sums)[T][R]) const {
        long k = 0;
        for (; k + TOGETHER <= columns; k += TOGETHER) add_columns(row, k, 0, x, sums);
        if (k < columns) add_columns(row, k, (columns - k) / 4, x, sums);
    }

    class Pieces;
};

const Mxfp4Rows::Tables Mxfp4Rows::tables;
