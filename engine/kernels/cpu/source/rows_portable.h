// Rows of weights times activations, in plain vectors of floats: what AVX2, and any other processor, compiles.
//
// Activations are float32, each row in the order that its matrix is unpacked in. Each product is a single sum over the
// columns in that order, whatever it is computed beside. What comes after the rows is asked for in the order of memory:
// many processors do not look far enough ahead along a single one.
#pragma once

#include <algorithm>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "mxfp4_order.h"
#include "vector.h"

typedef float Activation;
typedef floats Sum;
constexpr int TOKENS = 4;          // Activations that rows are multiplied with at a time, their sums in registers.
constexpr long UNPACKED = 16;      // Rows unpacked together for more activations,
constexpr int TOKENS_UNPACKED = 3; // and with how many of these they are multiplied at a time.

#if defined(__AVX2__)
template <int N> INLINE void add_up(const Sum *sums, float *out) {
    __m256 filled[(N + 3) / 4 * 4] = {};
    float all[(N + 3) / 4 * 4];
    for (int n = 0; n < N; n++) filled[n] = (__m256)sums[n];
    for (int n = 0; n < N; n += 4) {
        const __m256 *s = filled + n;
        const __m256 halves = _mm256_hadd_ps(_mm256_hadd_ps(s[0], s[1]), _mm256_hadd_ps(s[2], s[3]));
        _mm_storeu_ps(all + n, _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1)));
    }
    for (int n = 0; n < N; n++) out[n] = all[n];
}
#else
template <int N> INLINE void add_up(const Sum *sums, float *out) {
    for (int n = 0; n < N; n++) out[n] = sum(sums[n]);
}
#endif

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

// Rows whose `pairs(row, k)` are the columns k … k + 2 LANES − 1, some bytes a column.
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
    static constexpr bool PACKED = false;
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

// In the order of mxfp4_order.h: of n words, nibble j of word w is column n j + w. Activations stand in the order of
// columns, but with AVX2, where n is a multiple of 16, as sixteen words come: those of nibbles 0, 2, 1 and 3, and of sixteen
// columns 0 … 3 and 8 … 11 before the others.
struct Mxfp4Rows {
    static constexpr bool PACKED = true;
    static constexpr long AHEAD = 4096; // Bytes.
    const uint8_t *blocks, *scale_bytes;
    long columns;

    static_assert(LANES <= 8, "a vector of neighbours has one scale");
    static constexpr int beside(int tokens) { return tokens <= 2 ? 4 : 2; }
    static long padded(long columns) { return columns; }
    INLINE float scale(long) const { return 1.0f; }
    // Words of the 128 columns that begin at `group`.
    static INLINE long words_of(long group, long columns) { return std::min(TOGETHER, columns - group) / 4; }

    static INLINE void put(Activation *to, long k, [[maybe_unused]] long columns, halves x) {
        const floats y = widen(x);
#if defined(__AVX2__)
        const long group = k / TOGETHER * TOGETHER, there = words_of(group, columns);
        if (there % SIXTEEN == 0) {
            const long j = (k - group) / there, w = (k - group) % there, place = j == 1 ? 2 : j == 2 ? 1 : j;
            to += group + place * there + w / SIXTEEN * SIXTEEN + w % SIXTEEN / 2;
            std::memcpy(to, &y, sizeof y / 2), std::memcpy(to + LANES, (const float *)&y + LANES / 2, sizeof y / 2);
            return;
        }
#endif
        store(to + k, y);
    }

    // Of the lowest four bits. As the bits of a float32 they would be its value times 2^−126, but with such small numbers
    // many processors take a hundred times longer.
    static INLINE floats value(words nibbles) {
        words signs = (nibbles & 8) << 28, bits = nibbles & 7;
        floats magnitude = bits < 2 ? __builtin_convertvector(bits, floats) * 0.5f : (floats)((bits << 22) + (126 << 23));
        return (floats)((words)magnitude | signs);
    }

    struct Scales {
        float of[256];
        Scales() {
            for (int byte = 0; byte < 256; byte++) of[byte] = std::ldexp(1.0f, byte - 127);
        }
    };
    static const Scales scales;

    INLINE float scale_at(long row, long column) const { return scales.of[scale_bytes[(row * columns + column) / 32]]; }

    // Columns k … k + LANES − 1, of which all words lie in one group.
    INLINE floats at(long row, long k) const {
        const long group = k / TOGETHER * TOGETHER, there = words_of(group, columns), j = (k - group) / there;
        const halves packed = load<halves>(blocks + (row * columns + group) / 2 + 2 * ((k - group) % there));
        return value(__builtin_convertvector(packed, words) >> uint32_t(4 * j)) * scale_at(row, k);
    }

#if defined(__AVX2__)
    static constexpr long SIXTEEN = 16; // Words that a register holds.

    // Sixteen words' nibbles 0 and 2, or 1 and 3, as bf16 in pairs: words 0 … 3 and 8 … 11, and the others. The two bytes of
    // each are looked up.
    struct Sixteen {
        words pairs[2];
        INLINE Sixteen(__m256i packed, bool odd) {
            const __m256i nibbles = (odd ? _mm256_srli_epi16(packed, 4) : packed) & _mm256_set1_epi8(15);
            const __m256i high = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_setr_epi8(
                0, 0x3f, 0x3f, 0x3f, 0x40, 0x40, 0x40, 0x40, -0x80, -0x41, -0x41, -0x41, -0x40, -0x40, -0x40, -0x40)), nibbles);
            const __m256i low = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(
                _mm_setr_epi8(0, 0, -0x80, -0x40, 0, 0x40, -0x80, -0x40, 0, 0, -0x80, -0x40, 0, 0x40, -0x80, -0x40)), nibbles);
            pairs[0] = (words)_mm256_unpacklo_epi8(low, high), pairs[1] = (words)_mm256_unpackhi_epi8(low, high);
        }
    };

    // visit(place, vector) for these nibbles of COUNT · 16 words, as activations stand; `scale` is the first of the words'.
    template <long COUNT, class Visit>
    static INLINE void each_vector(const uint8_t *from, const uint8_t *scale, bool odd, const Visit &visit) {
        words pairs[2 * COUNT];
#pragma GCC unroll 2
        for (long i = 0; i < COUNT; i++) {
            const Sixteen sixteen(_mm256_loadu_si256((const __m256i *)(from + 32 * i)), odd);
            pairs[2 * i] = sixteen.pairs[0], pairs[2 * i + 1] = sixteen.pairs[1];
        }
#pragma GCC unroll 2
        for (int second = 0; second < 2; second++) {
            const float factor = scales.of[scale[(odd + 2 * second) * COUNT / 2]];
#pragma GCC unroll 4
            for (long i = 0; i < 2 * COUNT; i++)
                visit(
                    ((2 * odd + second) * 2 * COUNT + i) * LANES,
                    (floats)(second ? pairs[i] & 0xffff0000 : pairs[i] << 16) * factor);
        }
    }

    // visit(r, place, vector) for all nibbles of R rows, which take turns: no sum waits for its last addition.
    template <long COUNT, int R, class Visit> INLINE void each_of(long row, unsigned long k, const Visit &visit) const {
        const uint8_t *from = blocks + row * columns / 2 + k / 2, *scale = scale_bytes + row * columns / 32 + k / 32;
#pragma GCC unroll 2
        for (int odd = 0; odd < 2; odd++)
#pragma GCC unroll 4
            for (int r = 0; r < R; r++)
                each_vector<COUNT>(
                    from + r * columns / 2, scale + r * columns / 32, odd,
                    [&](long place, floats values) { visit(r, k + place, values); });
    }

    // The same for all groups of 32 or 16 words; gives how many columns these have.
    template <int R, class Visit> INLINE long each_in_sixteens(long row, const Visit &visit) const {
        const uint8_t *ahead = blocks + (row + R) * columns / 2 + AHEAD;
        const long whole = columns / TOGETHER * TOGETHER;
        for (long k = 0; k < whole; k += TOGETHER) {
            for (int r = 0; r < R; r++) ask_for_ahead(ahead + R * k / 2 + 64 * r);
            each_of<2, R>(row, k, visit);
        }
        if ((columns - whole) / 4 != SIXTEEN) return whole;
        each_of<1, R>(row, whole, visit);
        return columns;
    }
#endif

    template <int R, int T> INLINE void accumulate(long row, const Activation *const *x, Sum (&sums)[T][R]) const {
        long k = 0;
#if defined(__AVX2__)
        k = each_in_sixteens<R>(row, [&](int r, long place, floats weights) {
#pragma GCC unroll 4
            for (int t = 0; t < T; t++) sums[t][r] += weights * load<floats>(x[t] + place);
        });
#endif
        for (; k < columns; k += LANES) {
            floats weights[R];
            for (int r = 0; r < R; r++) weights[r] = at(row + r, k);
            add_products(weights, x, k, sums);
        }
    }
    void unpack(long row, Activation *to) const {
        long k = 0;
#if defined(__AVX2__)
        k = each_in_sixteens<1>(row, [&](int, long place, floats weights) { store(to + place, weights); });
#endif
        for (; k < columns; k += LANES) store(to + k, at(row, k));
    }
};

const Mxfp4Rows::Scales Mxfp4Rows::scales;
