// How activations stand as tiles: parts of up to 16 tokens, and of each part 32 columns after the other. A tile has a row
// for each two columns and in it the pairs of all tokens of the part.
//
//     5 tokens, 64 columns  →  one part, 5 wide: of its first tile the numbers (0, 0) (0, 1) (1, 0) (1, 1) … (4, 1),
//                              by (token, column), then (0, 2) (0, 3) …; its second begins 5 · 32 numbers later
#pragma once

#include <algorithm>
#include <immintrin.h>

#include "rows_avx512.h"

constexpr long TILE = 16, TILE_COLUMNS = 32, TILE_SIZE = TILE * TILE_COLUMNS; // Rows or tokens, columns.

// 16 rows of 16 words → 16 columns of them.
INLINE void transpose(__m512i (&rows)[TILE]) {
    __m512i pairs[TILE], fours[TILE];
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
        pairs[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4)
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++) {
            fours[i + 2 * half] = _mm512_unpacklo_epi64(pairs[i + half], pairs[i + half + 2]);
            fours[i + 2 * half + 1] = _mm512_unpackhi_epi64(pairs[i + half], pairs[i + half + 2]);
        }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) { // In each of the four 128-bit lanes of fours[i], [i + 4], … lie rows of column 4 · lane + i.
        __m512i low = _mm512_shuffle_i32x4(fours[i], fours[i + 4], 0x88);
        __m512i high = _mm512_shuffle_i32x4(fours[i], fours[i + 4], 0xdd);
        __m512i lower = _mm512_shuffle_i32x4(fours[i + 8], fours[i + 12], 0x88);
        __m512i higher = _mm512_shuffle_i32x4(fours[i + 8], fours[i + 12], 0xdd);
        rows[i] = _mm512_shuffle_i32x4(low, lower, 0x88);
        rows[i + 8] = _mm512_shuffle_i32x4(low, lower, 0xdd);
        rows[i + 4] = _mm512_shuffle_i32x4(high, higher, 0x88);
        rows[i + 12] = _mm512_shuffle_i32x4(high, higher, 0xdd);
    }
}

INLINE __mmask16 first_words(long count) { return __mmask16((1u << count) - 1); }

// Of one token this is the row as it was. Tokens that there are not are zeros.
struct TileLayout {
    const long tokens, columns, parts, width;

    TileLayout(long tokens, long columns)
        : tokens(tokens), columns(columns), parts((tokens + TILE - 1) / TILE), width((tokens + parts - 1) / parts) {}

    long part_size() const { return width * columns; }
    long size() const { return parts * part_size(); }

    void pack(const Activation *const *x, long part, Activation *to) const {
        const long first = part * width, there = std::min(width, tokens - first);
        to += part * part_size();
        for (long k = 0; k < columns; k += TILE_COLUMNS) {
            __m512i pairs[TILE];
            for (long t = 0; t < TILE; t++) pairs[t] = t < there ? _mm512_loadu_si512(x[first + t] + k) : __m512i{};
            transpose(pairs);
            for (long pair = 0; pair < TILE; pair++, to += 2 * width)
                _mm512_mask_storeu_epi32(to, first_words(width), pairs[pair]);
        }
    }
};
