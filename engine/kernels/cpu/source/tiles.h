// The same products on AMX: 16 rows times up to 16 activations, 32 columns of them an instruction.
//
// A tile of weights is 16 rows of 32 columns; one of activations has a row for each two columns and in it the pairs of
// all its tokens. For more than 16 tokens two tiles of weights are multiplied with two of activations, each with each, so
// that what is loaded is used twice. For less memory is the limit, and 16 rows at a time leave room in the first-level
// cache for the next ones.
//
// Rows of bf16 are loaded as they lie in memory. Others are unpacked in pieces of 128 columns: while one is unpacked, the one
// before is multiplied on another unit. For more than 32 tokens the pieces of 32 rows are kept and multiplied again.
//
// Each product is a single sum over the columns in their order, whatever the number of tokens.
#pragma once

#include <algorithm>
#include <immintrin.h>
#include <type_traits>

#include "activations.h"
#include "pieces.h"

constexpr long CACHED = 1 << 19; // Activations that stay in the second-level cache while one block after the other comes.

// What tiles are to hold: 0 to 3 the sums, 4 and 5 weights, 6 and 7 activations of so many tokens. To be said again after
// anything else has run: torch's own products use tiles, too.
INLINE void shape_tiles(long tokens) {
    struct alignas(64) {
        uint8_t palette = 1, start_row = 0, reserved[14] = {};
        uint16_t bytes[16] = {};
        uint8_t rows[16] = {};
    } shapes;
    for (int tile = 0; tile < 8; tile++) {
        shapes.rows[tile] = TILE;
        shapes.bytes[tile] = tile == 4 || tile == 5 ? 64 : uint16_t(4 * tokens);
    }
    asm volatile("" ::"r"(&shapes) : "memory"); // The compiler is not told that this reads all of it.
    _tile_loadconfig(&shapes);
}

// The sums of 16 rows and a part of the tokens, or of 32 and one or two parts.
template <int HALVES> class TileSums {
  public:
    static constexpr long ROWS = HALVES * TILE;

    explicit TileSums(long width) : width(width) {}

    INLINE void clear() {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }

    // One tile of weights or two times a part and, if there are TWO, times the other one.
    template <bool TWO>
    INLINE void add(const bf16 *upper, const bf16 *lower, long stride, const Activation *x, const Activation *other) {
        asm volatile("" ::: "memory"); // The compiler is not told what loads of tiles read.
        _tile_loadd(6, x, 4 * width);
        _tile_loadd(4, upper, 2 * stride);
        _tile_dpbf16ps(0, 4, 6);
        if (TWO) {
            _tile_loadd(7, other, 4 * width);
            _tile_dpbf16ps(1, 4, 7);
        }
        if (HALVES == 1) return;
        _tile_loadd(5, lower, 2 * stride);
        _tile_dpbf16ps(2, 5, 6);
        if (TWO) _tile_dpbf16ps(3, 5, 7);
    }

    template <bool TWO> INLINE void store() {
        static_assert(HALVES == 2 || !TWO);
        _tile_stored(0, stored[0][0], 4 * width);
        if (HALVES == 2) _tile_stored(2, stored[1][0], 4 * width);
        if (TWO) _tile_stored(1, stored[0][1], 4 * width);
        if (TWO) _tile_stored(3, stored[1][1], 4 * width);
    }

    // What was stored of the first or the second half of the rows and of a part: of each token those of 16 rows.
    INLINE void read(int half, long part, __m512i (&out)[TILE]) const {
        const float *const from = stored[half][part];
        if (width == 1) {
            out[0] = _mm512_load_si512(from);
            return;
        }
        for (long r = 0; r < TILE; r++) out[r] = _mm512_maskz_loadu_epi32(first_words(width), from + r * width);
        transpose(out);
    }

  private:
    const long width;
    alignas(64) float stored[HALVES][HALVES][TILE * TILE];
};

// Rows of bf16 as they lie in memory or were unpacked: numbers from row to row, from one tile to the next, and to that of
// the lower 16 rows.
struct TileRows {
    const bf16 *first;
    long stride, step, lower;
};

// The sums of all tiles of 16 or 32 rows. `next`, if not none, is where the next rows begin.
template <bool TWO, int HALVES>
INLINE void add_rows(
    TileSums<HALVES> &sums, const TileRows &rows, long tiles, const Activation *x, long tile, long part, const bf16 *next) {
    sums.clear();
    const bf16 *weights = rows.first;
    for (long i = 0; i < tiles; i++, weights += rows.step, x += tile) {
        for (int line = 0; next && line < sums.ROWS; line++, next += TILE_COLUMNS) ask_for_ahead(next);
        sums.template add<TWO>(weights, weights + rows.lower, rows.stride, x, x + part);
    }
}

// The same of packed rows, unpacked on the way, either into memory for all pieces or, not KEPT, for two in turn. If FULL
// there are 16 or 32, else `count`.
template <bool FULL, bool TWO, bool KEPT, int HALVES, class Rows>
INLINE void unpack_and_add(
    TileSums<HALVES> &sums, const Rows &rows, long row, long count, bf16 *to, const Activation *x, long tile, long part) {
    typename Rows::Pieces upper(rows, row, FULL ? TILE : std::min(TILE, count));
    typename Rows::Pieces lower(rows, row + TILE, FULL ? TILE : std::max(0L, count - TILE));
    bf16 *done = to + PIECE_ROOM;
    auto add = [&](long i) {
        const bf16 *weights = done + i * UNPACKED_STEP;
        sums.template add<TWO>(weights, weights + TILE_SIZE, TILE_COLUMNS, x, x + part);
        x += tile;
    };
    // As much is asked for of the next rows, in the order of memory; the first-level cache is full of what is unpacked.
    constexpr long ROWS = TileSums<HALVES>::ROWS, LINES = ROWS * Rows::bytes(PIECE) / (TILES * 64);
    const uint8_t *next = rows.packed() + Rows::bytes((row + ROWS) * rows.columns);
    sums.clear();
    const long columns = Rows::padded(rows.columns);
    for (long k = 0; k < columns; k += PIECE) {
        upper.go_to(k);
        if (HALVES == 2) lower.go_to(k);
#pragma GCC unroll 4
        for (long i = 0; i < TILES; i++) {
            for (long line = 0; line < LINES; line++, next += 64) ask_for_ahead(next);
            upper.unpack_four(4 * i, to);
            if (HALVES == 2) lower.unpack_four(4 * i, to + TILE_SIZE);
            if (k > 0) add(i);
        }
        std::swap(to, done);
        if (KEPT) to = done + PIECE_ROOM;
    }
    for (long i = 0; i < TILES; i++) add(i);
}

// Rows first … last − 1 times a batch of activations, see `multiply`. The sums of 16 or 32 rows are handed on when those of
// the next have been asked of the other unit.
template <int HALVES, class Rows, class Take>
void multiply_tiles(const Rows &rows, long first, long last, const Batch &x, Buffer &scratch, const Take &take) {
    const long columns = Rows::padded(rows.columns), tiles = columns / TILE_COLUMNS;
    constexpr long ROWS = TileSums<HALVES>::ROWS;
    const long needed = PIECE_ROOM * std::max(columns / PIECE + 1, 2L);
    if (long(scratch.size()) < needed) scratch.resize(needed);
    bf16 *const memory = scratch.data();
    const TileLayout layout(x.tokens, columns);
    const Activation *const packed = x.tiles ? x.tiles : x.x[0];
    const long tile = TILE_COLUMNS * layout.width, part_size = layout.part_size();
    TileSums<HALVES> sums(layout.width);
    shape_tiles(layout.width);

    long stored_row = last, stored_part = 0;
    auto hand_on_half = [&](int half, long row, long count) {
        for (long part = stored_part; part < std::min(stored_part + 2, layout.parts); part++) {
            __m512i values[TILE];
            sums.read(half, part - stored_part, values);
            const long token = part * layout.width;
            for (long t = 0; t < std::min(layout.width, x.tokens - token); t++) {
                float scaled[TILE];
                _mm512_storeu_si512(scaled, values[t]);
                for (long r = 0; r < count; r++) scaled[r] *= rows.scale(row + r);
                take(row, count, token + t, scaled);
            }
        }
    };
    auto hand_on = [&] {
        for (int half = 0; half < HALVES; half++) {
            const long row = stored_row + half * TILE;
            if (row + TILE <= last) hand_on_half(half, row, TILE); // A count that the compiler knows.
            else if (row < last) hand_on_half(half, row, last - row);
        }
    };
    // `add(one or two)` adds up what is due, for two parts of the tokens if there is another one.
    auto multiply_part = [&](long row, long part, const auto &add) {
        auto sum_up = [&](auto two) {
            add(two);
            hand_on();
            sums.template store<two>();
        };
        if constexpr (HALVES == 1) sum_up(std::false_type{});
        else if (part + 1 < layout.parts) sum_up(std::true_type{});
        else sum_up(std::false_type{});
        stored_row = row, stored_part = part;
    };

    const long at_once = std::max(2L, CACHED / part_size / 2 * 2);
    for (long begin = 0; begin < layout.parts; begin += at_once) {
        const long end = std::min(begin + at_once, layout.parts);
        for (long row = first; row < last; row += ROWS) {
            const long count = std::min(ROWS, last - row);
            TileRows there{memory, TILE_COLUMNS, UNPACKED_STEP, TILE_SIZE};
            const bf16 *next = nullptr;
            long part = begin;
            if constexpr (Rows::PACKED) {
                multiply_part(row, part, [&](auto two) {
                    auto unpack = [&](auto full, auto kept) {
                        unpack_and_add<full, two, kept>(
                            sums, rows, row, count, memory, packed + part * part_size, tile, part_size);
                    };
                    auto unpack_some = [&](auto kept) {
                        if (count == ROWS) unpack(std::true_type{}, kept);
                        else unpack(std::false_type{}, kept);
                    };
                    if constexpr (HALVES == 1) unpack_some(std::false_type{});
                    else if (end - begin > 2) unpack_some(std::true_type{});
                    else unpack_some(std::false_type{});
                });
                part += 2;
            } else {
                there = {rows.values + row * rows.stride, rows.stride, TILE_COLUMNS, TILE * rows.stride};
                next = there.first + ROWS * rows.stride;
                if (count < ROWS) { // What follows the last row may not be ours to read.
                    for (long r = 0; r < count; r++)
                        std::memcpy(memory + r * columns, there.first + r * rows.stride, 2 * columns);
                    there = {memory, columns, TILE_COLUMNS, TILE * columns};
                }
            }
            for (; part < end; part += 2)
                multiply_part(row, part, [&](auto two) {
                    const bf16 *const ask = part == begin ? next : nullptr;
                    add_rows<two>(sums, there, tiles, packed + part * part_size, tile, part_size, ask);
                });
        }
    }
    hand_on();
}

template <class Rows, class Take>
INLINE void multiply_tiles(const Rows &rows, long first, long last, const Batch &x, Buffer &scratch, const Take &take) {
    if (x.tokens <= TILE) multiply_tiles<1>(rows, first, last, x, scratch, take);
    else multiply_tiles<2>(rows, first, last, x, scratch, take);
}
