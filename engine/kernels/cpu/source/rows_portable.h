// Rows of weights times activations, in plain vectors of floats: what AVX2, and any other processor, compiles.
//
// Activations are float32, each row in the order that its matrix is unpacked in.
#pragma once

#include <algorithm>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "mxfp4_order.h"
#include "vector.h"

typedef float Activation;
typedef floats Sum;
constexpr int TOKENS = 4;    // Activations that rows are multiplied with at a time, their sums in registers.
constexpr long UNPACKED = 8; // Rows unpacked together for more: with some activations they fit the first-level cache.

template <int N> INLINE void add_up(const Sum *sums, float *out) {
    for (int n = 0; n < N; n++) out[n] = sum(sums[n]);
}

// What rows in their own order have in common: `at(row, k, first, second)` gives the weights of two vectors of activations.
template <class Rows, int R, int T>
INLINE void accumulate_floats(const Rows &rows, long row, const Activation *const *x, Sum (&sums)[T][R]) {
    for (long k = 0; k < rows.columns; k += 2 * LANES) {
        floats first[R], second[R];
        for (int r = 0; r < R; r++) rows.at(row + r, k, first[r], second[r]);
        for (int t = 0; t < T; t++) {
            floats a = load<floats>(x[t] + k), b = load<floats>(x[t] + k + LANES);
            for (int r = 0; r < R; r++) sums[t][r] += first[r] * a + second[r] * b;
        }
    }
}

template <class Rows> INLINE void unpack_floats(const Rows &rows, long row, Activation *to) {
    for (long k = 0; k < rows.columns; k += 2 * LANES) {
        floats first, second;
        rows.at(row, k, first, second);
        store(to + k, first);
        store(to + k + LANES, second);
    }
}

// Rows in memory as activations are.
struct UnpackedRows {
    const Activation *values;
    long columns, stride;

    static constexpr int beside(int) { return 2; }
    INLINE float scale(long) const { return 1.0f; }
    INLINE void at(long row, long k, floats &first, floats &second) const {
        const Activation *w = values + row * stride + k;
        first = load<floats>(w);
        second = load<floats>(w + LANES);
    }
    template <int R, int T> INLINE void accumulate(long row, const Activation *const *x, Sum (&sums)[T][R]) const {
        accumulate_floats(*this, row, x, sums);
    }
};

struct Bf16Rows {
    const bf16 *values;
    long columns, stride;

    static constexpr int beside(int) { return 2; }
    static long padded(long columns) { return columns; }
    static INLINE void put(Activation *to, long k, long, halves x) { store(to + k, widen(x)); }
    INLINE float scale(long) const { return 1.0f; }
    INLINE void at(long row, long k, floats &first, floats &second) const {
        const bf16 *w = values + row * stride + k;
        first = widen(load<halves>(w));
        second = widen(load<halves>(w + LANES));
    }
    template <int R, int T> INLINE void accumulate(long row, const Activation *const *x, Sum (&sums)[T][R]) const {
        accumulate_floats(*this, row, x, sums);
    }
    void unpack(long row, Activation *to) const { unpack_floats(*this, row, to); }
};

typedef Bf16Rows CachedRows;

// The bits of an e4m3 number in the places of a float32's are the number times 2^−120.
struct Fp8Rows {
    const uint8_t *values;
    const float *scales;
    long columns;

    static constexpr int beside(int) { return 2; }
    static long padded(long columns) { return columns; }
    static INLINE void put(Activation *to, long k, long, halves x) { store(to + k, widen(x)); }
    INLINE float scale(long row) const { return scales[row]; }
    static INLINE floats number(const uint8_t *from) {
        words b = __builtin_convertvector(load<bytes>(from), words);
        return (floats)((b & 0x80) << 24 | (b & 0x7f) << 20) * 0x1p120f;
    }
    INLINE void at(long row, long k, floats &first, floats &second) const {
        const uint8_t *w = values + row * columns + k;
        first = number(w);
        second = number(w + LANES);
    }
    template <int R, int T> INLINE void accumulate(long row, const Activation *const *x, Sum (&sums)[T][R]) const {
        accumulate_floats(*this, row, x, sums);
    }
    void unpack(long row, Activation *to) const { unpack_floats(*this, row, to); }
};

// In the order of mxfp4_order.h. LANES words at a time are four vectors of neighbours, and activations stand as these come.
struct Mxfp4Rows {
    const uint8_t *blocks, *scale_bytes;
    long columns;

    static_assert(LANES <= 8, "a vector of neighbours has one scale");
    static constexpr long STEP = 4 * LANES;
    static constexpr int beside(int) { return 2; }
    static long padded(long columns) { return columns; }
    // Words of the 128 columns that begin at `group`.
    static INLINE long words_of(long group, long columns) { return std::min(TOGETHER, columns - group) / 4; }
    static INLINE void put(Activation *to, long k, long columns, halves x) {
        const long group = k / TOGETHER * TOGETHER, there = words_of(group, columns);
        const long j = (k - group) / there, w = (k - group) % there;
        store(to + group + 4 * w + j * LANES, widen(x));
    }
    INLINE float scale(long) const { return 1.0f; }

    // Of the lowest four bits. As the bits of a float32 they would be its value times 2^−126, but with such small numbers
    // many processors take a hundred times longer.
    static INLINE floats value(words nibbles) {
        words signs = (nibbles & 8) << 28;
#if defined(__AVX2__) // One instruction in the place of six.
        const __m256 magnitudes = _mm256_setr_ps(0, 0.5f, 1, 1.5f, 2, 3, 4, 6);
        floats magnitude = (floats)_mm256_permutevar8x32_ps(magnitudes, (__m256i)nibbles);
#else
        words bits = nibbles & 7;
        floats magnitude = bits < 2 ? __builtin_convertvector(bits, floats) * 0.5f : (floats)((bits << 22) + (126 << 23));
#endif
        return (floats)((words)magnitude | signs);
    }

    INLINE float scale_at(long row, long column) const {
        const uint32_t exponent = uint32_t(scale_bytes[(row * columns + column) / 32]) << 23;
        float scale;
        std::memcpy(&scale, &exponent, sizeof scale);
        return scale;
    }

    // The vectors that activations k … k + STEP − 1 are multiplied with.
    INLINE void at(long row, long k, floats (&values)[4]) const {
        const long group = k / TOGETHER * TOGETHER, w = (k - group) / 4, there = words_of(group, columns);
        words packed = __builtin_convertvector(load<halves>(blocks + (row * columns + group) / 2 + 2 * w), words);
#pragma GCC unroll 4
        for (long j = 0; j < 4; j++)
            values[j] = value(packed >> uint32_t(4 * j)) * scale_at(row, group + there * j + w);
    }
    template <int R, int T> INLINE void accumulate(long row, const Activation *const *x, Sum (&sums)[T][R]) const {
        for (long k = 0; k < columns; k += STEP) {
            floats values[R][4];
            for (int r = 0; r < R; r++) at(row + r, k, values[r]);
            for (int pair = 0; pair < 4; pair += 2)
                for (int t = 0; t < T; t++) {
                    const Activation *from = x[t] + k + pair * LANES;
                    floats a = load<floats>(from), b = load<floats>(from + LANES);
                    for (int r = 0; r < R; r++) sums[t][r] += values[r][pair] * a + values[r][pair + 1] * b;
                }
        }
    }
    void unpack(long row, Activation *to) const {
        for (long k = 0; k < columns; k += STEP) {
            floats values[4];
            at(row, k, values);
            for (long j = 0; j < 4; j++) store(to + k + j * LANES, values[j]);
        }
    }
};
