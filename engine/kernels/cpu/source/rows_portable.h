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

#if defined(__AVX2__)
constexpr long SIXTEEN = 16; // Words that a register holds.

// Of their nibbles j the values of words 0 … 3 and 8 … 11 in values[2 j], those of 4 … 7 and 12 … 15 in values[2 j + 1]: the
// bytes of the values in bfloat16 are looked up, and stand beside those of the nibble two further on.
INLINE void values_of_sixteen(const uint8_t *from, floats (&values)[8]) {
    const __m256i packed = _mm256_loadu_si256((const __m256i *)from), lowest = _mm256_set1_epi8(15);
    const __m256i high_bytes = _mm256_broadcastsi128_si256(_mm_setr_epi8(
        0, 0x3f, 0x3f, 0x3f, 0x40, 0x40, 0x40, 0x40, -0x80, -0x41, -0x41, -0x41, -0x40, -0x40, -0x40, -0x40));
    const __m256i low_bytes = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 0, -0x80, -0x40, 0, 0x40, -0x80, -0x40, 0, 0, -0x80, -0x40, 0, 0x40, -0x80, -0x40));
#pragma GCC unroll 2
    for (int j = 0; j < 2; j++) {
        const __m256i nibbles = (j ? _mm256_srli_epi16(packed, 4) : packed) & lowest;
        const __m256i high = _mm256_shuffle_epi8(high_bytes, nibbles), low = _mm256_shuffle_epi8(low_bytes, nibbles);
        const words first = (words)_mm256_unpacklo_epi8(low, high), others = (words)_mm256_unpackhi_epi8(low, high);
        values[2 * j] = (floats)(first << 16), values[2 * j + 1] = (floats)(others << 16);
        values[2 * j + 4] = (floats)(first & 0xffff0000), values[2 * j + 5] = (floats)(others & 0xffff0000);
    }
}
#endif

// In the order of mxfp4_order.h. LANES words at a time are four vectors of neighbours, and activations stand as these come;
// with AVX2 sixteen are eight, where the nibbles of each have one scale.
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
#if defined(__AVX2__)
        if (there % SIXTEEN == 0) {
            const floats y = widen(x);
            Activation *first = to + group + w / SIXTEEN * 4 * SIXTEEN + j * SIXTEEN + w % SIXTEEN / 2;
            std::memcpy(first, &y, sizeof y / 2), std::memcpy(first + LANES, (const float *)&y + LANES / 2, sizeof y / 2);
            return;
        }
#endif
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

#if defined(__AVX2__)
    // Columns that are in groups of so many words.
    long in_sixteens() const { return columns % TOGETHER / 4 % SIXTEEN ? columns / TOGETHER * TOGETHER : columns; }

    // Of the nibbles j of the words at k.
    INLINE float scale_of_sixteen(long row, long k, long j) const {
        const long group = k / TOGETHER * TOGETHER;
        return scale_at(row, group + (columns - group < TOGETHER ? SIXTEEN : 2 * SIXTEEN) * j);
    }
#endif

    // The vectors that activations k … k + STEP − 1 are multiplied with.
    INLINE void at(long row, long k, floats (&values)[4]) const {
        const long group = k / TOGETHER * TOGETHER, w = (k - group) / 4, there = words_of(group, columns);
        words packed = __builtin_convertvector(load<halves>(blocks + (row * columns + group) / 2 + 2 * w), words);
#pragma GCC unroll 4
        for (long j = 0; j < 4; j++)
            values[j] = value(packed >> uint32_t(4 * j)) * scale_at(row, group + there * j + w);
    }
    template <int R, int T> INLINE void accumulate(long row, const Activation *const *x, Sum (&sums)[T][R]) const {
        long k = 0;
#if defined(__AVX2__)
        for (; k < in_sixteens(); k += 4 * SIXTEEN)
            for (int r = 0; r < R; r++) {
                floats values[8];
                values_of_sixteen(blocks + ((row + r) * columns + k) / 2, values);
#pragma GCC unroll 4
                for (long j = 0; j < 4; j++) {
                    const float scale = scale_of_sixteen(row + r, k, j);
                    for (int t = 0; t < T; t++) {
                        const Activation *from = x[t] + k + j * SIXTEEN;
                        floats a = load<floats>(from), b = load<floats>(from + LANES);
                        sums[t][r] += (values[2 * j] * a + values[2 * j + 1] * b) * scale;
                    }
                }
            }
#endif
        for (; k < columns; k += STEP) {
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
        long k = 0;
#if defined(__AVX2__)
        for (; k < in_sixteens(); k += 4 * SIXTEEN) {
            floats values[8];
            values_of_sixteen(blocks + (row * columns + k) / 2, values);
            for (long i = 0; i < 8; i++) store(to + k + i * LANES, values[i] * scale_of_sixteen(row, k, i / 2));
        }
#endif
        for (; k < columns; k += STEP) {
            floats values[4];
            at(row, k, values);
            for (long j = 0; j < 4; j++) store(to + k + j * LANES, values[j]);
        }
    }
};
