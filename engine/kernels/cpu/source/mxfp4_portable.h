// Rows of MXFP4 times activations that are float32.
#pragma once

#include <algorithm>

#include "mxfp4_order.h"
#include "rows_portable.h"

// In the order of mxfp4_order.h: of n words, nibble j of word w is column n j + w. Activations stand in the order of
// columns, but with AVX2, where n is a multiple of 16, as sixteen words come: nibbles 0 and 2 of the first words, of the
// next, then nibbles 1 and 3; and of each sixteen columns 0 … 3 and 8 … 11 before the others.
//
//     128 columns: column 69 is nibble 2 of word 5  →  place 16 + 8 + 1
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
            const long j = (k - group) / there, w = (k - group) % there;
            to += group + (j % 2 * there + w / SIXTEEN * SIXTEEN) * 2 + j / 2 * SIXTEEN + w % SIXTEEN / 2;
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

    INLINE float scale_at(long row, long column) const {
        const uint32_t exponent = uint32_t(scale_bytes[(row * columns + column) / 32]) << 23;
        float scale;
        std::memcpy(&scale, &exponent, sizeof scale);
        return scale;
    }

    // Columns k … k + LANES − 1, of which all words lie in one group.
    INLINE floats at(long row, long k) const {
        const long group = k / TOGETHER * TOGETHER, there = words_of(group, columns), j = (k - group) / there;
        const halves packed = load<halves>(blocks + (row * columns + group) / 2 + 2 * ((k - group) % there));
        return value(__builtin_convertvector(packed, words) >> uint32_t(4 * j)) * scale_at(row, k);
    }

#if defined(__AVX2__)
    static constexpr long SIXTEEN = 16; // Words that a register holds.

    // The high or the low bytes of nibbles' values in bf16, times 2^126; of both zeros, 0.
    static INLINE __m256i bytes_of(__m256i nibbles, bool high) {
        const __m128i values = high
            ? _mm_setr_epi8(0, 0x7e, 0x7e, 0x7e, 0x7f, 0x7f, 0x7f, 0x7f, 0, -2, -2, -2, -1, -1, -1, -1)
            : _mm_setr_epi8(0, 0, -0x80, -0x40, 0, 0x40, -0x80, -0x40, 0, 0, -0x80, -0x40, 0, 0x40, -0x80, -0x40);
        return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(values), nibbles);
    }

    // What brings such values, in pairs, under the two scales of each: so much is to be taken from their exponents, and from
    // 0 nothing can be. Scale bytes beyond 253 count as 253, and 0 as 1; trained checkpoints have none of them.
    template <long COUNT> static INLINE __m256i lowering(const uint8_t *scales, bool odd) {
        uint32_t bytes = 0;
        std::memcpy(&bytes, scales, 2 * COUNT);
        const int first = COUNT == 2 && odd, both = 0xff00ff00 | (first + COUNT) << 16 | first;
        const __m256i by = _mm256_subs_epu8(_mm256_set1_epi8(-3), _mm256_max_epu8(_mm256_set1_epi32(bytes), _mm256_set1_epi8(1)));
        return _mm256_slli_epi16(_mm256_shuffle_epi8(by, _mm256_set1_epi32(both)), 7);
    }

    // Nibbles 0 and 2, or 1 and 3, of sixteen words: of words 0 … 3 and 8 … 11, and of the others.
    static INLINE void pairs_of(const uint8_t *from, bool odd, __m256i lowering, words (&pairs)[2]) {
        const __m256i packed = _mm256_loadu_si256((const __m256i *)from);
        const __m256i nibbles = (odd ? _mm256_srli_epi16(packed, 4) : packed) & _mm256_set1_epi8(15);
        const __m256i high = bytes_of(nibbles, true), low = bytes_of(nibbles, false);
        pairs[0] = (words)_mm256_subs_epu16(_mm256_unpacklo_epi8(low, high), lowering);
        pairs[1] = (words)_mm256_subs_epu16(_mm256_unpackhi_epi8(low, high), lowering);
    }

    // visit(place, vectors) for the 64 · COUNT columns from k on of R rows, as activations stand.
    template <long COUNT, int R, class Visit> INLINE void each_of(long row, unsigned long k, const Visit &visit) const {
        const uint8_t *from = blocks + row * columns / 2 + k / 2, *scale = scale_bytes + row * columns / 32 + k / 32;
#pragma GCC unroll 2
        for (int odd = 0; odd < 2; odd++) {
            __m256i lowerings[R];
#pragma GCC unroll 4
            for (int r = 0; r < R; r++) lowerings[r] = lowering<COUNT>(scale + r * columns / 32, odd);
#pragma GCC unroll 2
            for (long i = 0; i < COUNT; i++, k += 4 * LANES) {
                words pairs[R][2];
#pragma GCC unroll 4
                for (int r = 0; r < R; r++) pairs_of(from + r * columns / 2 + 32 * i, odd, lowerings[r], pairs[r]);
#pragma GCC unroll 4
                for (int place = 0; place < 4; place++) {
                    floats values[R];
#pragma GCC unroll 4
                    for (int r = 0; r < R; r++) {
                        const words both = pairs[r][place % 2];
                        values[r] = (floats)(place < 2 ? both << 16 : both & 0xffff0000);
                    }
                    visit(k + place * LANES, values);
                }
            }
        }
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
        k = each_in_sixteens<R>(row, [&](long place, const floats(&weights)[R]) { add_products(weights, x, place, sums); });
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
        k = each_in_sixteens<1>(row, [&](long place, const floats(&weights)[1]) { store(to + place, weights[0]); });
#endif
        for (; k < columns; k += LANES) store(to + k, at(row, k));
    }
};
