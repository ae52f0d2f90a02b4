// Packed rows on their way to tiles: of 16 rows a piece of 128 columns at a time, which is four tiles. Beside each of the
// four is room for that of 16 other rows.
//
//     row 5, columns 64 … 95  →  line 5 of the third tile, 2 · UNPACKED_STEP + 5 · TILE_COLUMNS numbers further on
#pragma once

#include <algorithm>

#include "tile_layout.h"

constexpr long PIECE = TOGETHER, TILES = PIECE / TILE_COLUMNS, UNPACKED_STEP = 2 * TILE_SIZE;
constexpr long PIECE_ROOM = TILES * UNPACKED_STEP;

class Fp8Rows::Pieces {
  public:
    Pieces(const Fp8Rows &rows, long row, long count)
        : columns(rows.columns), count(count), all(rows.values + row * columns) {}

    INLINE void go_to(long column) { k = column; }

    INLINE void unpack_four(long first, bf16 *tiles) const {
        const Tables in_registers = all_tables;
        const uint8_t *from = all + first * columns + k;
        for (long r = first; r < std::min(first + 4, count); r++, from += columns)
            for (long i = 0; i < TILES; i += 2) {
                bf16 *const to = tiles + i * UNPACKED_STEP + r * TILE_COLUMNS;
                __m512i left, right;
                const long there = std::max(columns - k - i * TILE_COLUMNS, 0L);
                pair(in_registers, load_first(from + i * TILE_COLUMNS, there), left, right);
                _mm512_store_si512(to, left);
                _mm512_store_si512(to + UNPACKED_STEP, right);
            }
    }

  private:
    const long columns, count;
    const uint8_t *const all;
    long k = 0;
};

class Mxfp4Rows::Pieces {
  public:
    Pieces(const Mxfp4Rows &rows, long row, long count)
        : columns(rows.columns), count(count), all(rows.blocks + row * columns / 2),
          scale_bytes(rows.scale_bytes + row * columns / 32) {}

    INLINE void go_to(long column) { k = column; }

    INLINE void unpack_four(long first, bf16 *tiles) const {
        const uint8_t *from = all + (first * columns + k) / 2;
        const uint8_t *scales = scale_bytes + (first * columns + k) / 32;
        const long some = std::min(4L, count - first);
        bf16 *const to = tiles + first * TILE_COLUMNS;
        if (columns - k >= PIECE) unpack<true>(from, scales, columns, some, TOGETHER / 4, to);
        else unpack_rest(from, scales, columns, some, (columns - k) / 4, to);
    }

  private:
    // Once, and not where it would stand in the way of whole pieces.
    static __attribute__((noinline)) void unpack_rest(
        const uint8_t *from, const uint8_t *scales, long columns, long rows, long words, bf16 *to) {
        unpack<false>(from, scales, columns, rows, words, to);
    }

    template <bool WHOLE>
    static INLINE void unpack(
        const uint8_t *from, const uint8_t *scales, long columns, long rows, long words, bf16 *to) {
        for (long r = 0; r < rows; r++) {
            const __m512i packed = WHOLE ? _mm512_loadu_si512(from) : load_first(from, 2 * words);
            unpack_row<WHOLE, 0>(packed, scales, words, to);
            unpack_row<WHOLE, 1>(packed, scales, words, to);
            unpack_row<WHOLE, 2>(packed, scales, words, to);
            unpack_row<WHOLE, 3>(packed, scales, words, to);
            from += columns / 2, scales += columns / 32, to += TILE_COLUMNS;
        }
    }

    template <bool WHOLE, int J>
    static INLINE void unpack_row(__m512i packed, const uint8_t *scales, long words, bf16 *to) {
        _mm512_store_si512(
            to + J * UNPACKED_STEP, WHOLE ? values<J>(packed, scales) : values_of_rest<J>(packed, scales, words));
    }

    const long columns, count;
    const uint8_t *const all, *const scale_bytes;
    long k = 0;
};
