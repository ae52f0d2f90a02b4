// Rows of weights times activations, in plain vectors of floats: what AVX2, and any other processor, compiles.
//
// Activations are float32, each row in the order in which its matrix is unpacked. Each product is a single sum over the
// columns in that order, whatever R and T are: a token's result does not depend on its company. What comes after the rows
// is asked for in the order of memory: many processors do not look far enough ahead along a single one.
#pragma once

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "vector.h"

typedef float Activation;
typedef floats Sum;
constexpr int TOKENS = 4;          // Activations that rows are multiplied with at a time, their sums in registers.
constexpr long UNPACKED = 16;      // Rows unpacked together for more activations,
constexpr int TOKENS_UNPACKED = 3; // and with how many of these they are multiplied at a time.

INLINE void add_up_four(const Sum *s, float *out) {
#if defined(__AVX2__)
    const __m256 ab = _mm256_hadd_ps((__m256)s[0], (__m256)s[1]), cd = _mm256_hadd_ps((__m256)s[2], (__m256)s[3]);
    const __m256 halves = _mm256_hadd_ps(ab, cd);
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1)));
#else
    for (int n = 0; n < 4; n++) out[n] = sum(s[n]);
#endif
}

// A vector of R rows times those of T activations at k.
template <int R, int T>
INLINE void add_products(const floats (&weights)[R], const Activation *const *x, long k, Sum (&sums)[T][R]) {
#pragma GCC unroll 8
    for (int t = 0; t < T; t++) {
        const floats a = load<floats>(x[t] + k);
#pragma GCC unroll 8
        for (int r = 0; r < R; r++) sums[t][r] += weights[r] * a;
    }
}

// Neighbours in pairs of bf16: the first of each pair, and the second.
struct Pairs {
    floats first, second;
    INLINE explicit Pairs(words pairs) : first((floats)(pairs << 16)), second((floats)(pairs & 0xffff0000)) {}

    // Columns k … k + LANES − 1 to where this brings them.
    static INLINE void put(Activation *to, long k, long, halves x) {
        typedef uint32_t half_words __attribute__((vector_size(2 * LANES)));
        const half_words pairs = (half_words)x;
        to += k / (2 * LANES) * 2 * LANES + k % (2 * LANES) / 2;
        store(to, pairs << 16);
        store(to + LANES, pairs & 0xffff0000);
    }
};

// Rows whose `pairs(row, k)` are the columns k … k + 2 LANES − 1, of BYTES each. Sums take turns: a single one would wait
// for its last addition.
template <class Rows, int R, int T>
INLINE void add_pairs(const Rows &rows, long row, const Activation *const *x, Sum (&sums)[T][R]) {
    constexpr long LINE = 64 / Rows::BYTES; // Columns.
    for (long k = 0; k < rows.columns; k += 2 * LANES) {
        floats first[R], second[R];
#pragma GCC unroll 8
        for (int r = 0; r < R; r++) {
            if (Rows::AHEAD && k % LINE == 0) ask_for_ahead(rows.bytes(row + R) + Rows::AHEAD + R * k * Rows::BYTES + 64 * r);
            const Pairs pairs = rows.pairs(row + r, k);
            first[r] = pairs.first, second[r] = pairs.second;
        }
        add_products(first, x, k, sums);
        add_products(second, x, k + LANES, sums);
    }
}

template <class Rows> INLINE void unpack_pairs(const Rows &rows, long row, Activation *to) {
    for (long k = 0; k < rows.columns; k += 2 * LANES) {
        const Pairs pairs = rows.pairs(row, k);
        store(to + k, pairs.first);
        store(to + k + LANES, pairs.second);
    }
}

// Rows in memory as activations are.
struct UnpackedRows {
    const Activation *values;
    long columns, stride;

    static constexpr int beside(int) { return 4; }
    INLINE float scale(long) const { return 1.0f; }
    template <int R, int T> INLINE void accumulate(long row, const Activation *const *x, Sum (&sums)[T][R]) const {
        const Activation *from = values + row * stride;
        for (long k = 0; k < columns; k += LANES) {
            floats weights[R];
#pragma GCC unroll 8
            for (int r = 0; r < R; r++) weights[r] = load<floats>(from + r * stride + k);
            add_products(weights, x, k, sums);
        }
    }
};

// From memory, or in the cache already.
template <bool FROM_MEMORY> struct RowsOfBf16 {
    static constexpr bool PACKED = false; // So that rows are unpacked for many activations.
    static constexpr long BYTES = sizeof(bf16), AHEAD = FROM_MEMORY ? 6144 : 0;
    const bf16 *values;
    long columns, stride;

    static constexpr int beside(int tokens) { return tokens <= 2 ? 4 : 2; }
    static long padded(long columns) { return columns; }
    static INLINE void put(Activation *to, long k, long columns, halves x) { Pairs::put(to, k, columns, x); }
    INLINE float scale(long) const { return 1.0f; }
    INLINE const uint8_t *bytes(long row) const { return (const uint8_t *)(values + row * stride); }
    INLINE Pairs pairs(long row, long k) const { return Pairs(load<words>(values + row * stride + k)); }
    template <int R, int T> INLINE void accumulate(long row, const Activation *const *x, Sum (&sums)[T][R]) const {
        add_pairs(*this, row, x, sums);
    }
};

typedef RowsOfBf16<true> Bf16Rows;
typedef RowsOfBf16<false> CachedRows;

// The bits of an e4m3 number in the places of a bf16's are the number times 2^−120.
struct Fp8Rows {
    static constexpr bool PACKED = true;
    static constexpr long BYTES = 1, AHEAD = 4096;
    const uint8_t *values;
    const float *scales;
    long columns;

    static constexpr int beside(int tokens) { return tokens <= 2 ? 4 : 2; }
    static long padded(long columns) { return columns; }
    static INLINE void put(Activation *to, long k, long columns, halves x) { Pairs::put(to, k, columns, x); }
    INLINE float scale(long row) const { return scales[row]; }
    INLINE const uint8_t *bytes(long row) const { return values + row * columns; }
    INLINE Pairs pairs(long row, long k) const {
        typedef int8_t packed __attribute__((vector_size(2 * LANES)));
        typedef int16_t places __attribute__((vector_size(4 * LANES)));
        const places wide = __builtin_convertvector(load<packed>(values + row * columns + k), places);
        Pairs pairs((words)(wide << 4 & int16_t(0x87f0)));
        pairs.first *= 0x1p120f, pairs.second *= 0x1p120f;
        return pairs;
    }
    template <int R, int T> INLINE void accumulate(long row, const Activation *const *x, Sum (&sums)[T][R]) const {
        add_pairs(*this, row, x, sums);
    }
    void unpack(long row, Activation *to) const { unpack_pairs(*this, row, to); }
};
