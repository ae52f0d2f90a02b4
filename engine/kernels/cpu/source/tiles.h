// The same products on AMX: 16 rows times up to 16 activations, 32 columns of them an instruction.
//
// A tile of weights is 16 rows of 32 columns; one of activations has a row for each two columns and in it the pairs of
// all tokens. Rows of bf16 are loaded as they lie in memory. Others are unpacked in pieces, 128 columns of 16 rows, of
// which two take a sixth of the first-level cache: while one is unpacked, the one before is multiplied on another unit,
// after every four rows one of four tiles. For more than 32 tokens the pieces of 16 rows are kept and multiplied again.
//
// Each product is two sums, of the even tiles and of the odd ones, over the columns in their order, whatever the number
// of tokens.
#pragma once

#include <algorithm>
#include <immintrin.h>

#include "rows_avx512.h"

// What tiles are to hold: 0 to 3 the sums, 4 weights, 5 and 6 activations of so many tokens. To be said again after
// anything else has run: torch's own products use tiles, too.
INLINE void shape_tiles(long tokens) {
    struct alignas(64) {
        uint8_t palette = 1, start_row = 0, reserved[14] = {};
        uint16_t bytes[16] = {};
        uint8_t rows[16] = {};
    } shapes;
    for (int tile = 0; tile < 7; tile++) {
        shapes.rows[tile] = TILE;
        shapes.bytes[tile] = tile == 4 ? 64 : uint16_t(4 * tokens);
    }
    asm volatile("" ::"r"(&shapes) : "memory"); // The compiler is not told that this reads all of it.
    _tile_loadconfig(&shapes);
}

INLINE void clear_sums() {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

// Tile `i` of weights times that of activations, and, if there are others, times theirs, onto the even or the odd sums.
INLINE void add_tile(
    long i, const bf16 *weights, long stride, const Activation *x, const Activation *others, long tokens) {
    asm volatile("" ::: "memory"); // The compiler is not told what loads of tiles read.
    _tile_loadd(4, weights, 2 * stride);
    _tile_loadd(5, x, 4 * tokens);
    if (i % 2 == 0) _tile_dpbf16ps(0, 4, 5);
    else _tile_dpbf16ps(1, 4, 5);
    if (!others) return;
    _tile_loadd(6, others, 4 * tokens);
    if (i % 2 == 0) _tile_dpbf16ps(2, 4, 6);
    else _tile_dpbf16ps(3, 4, 6);
}

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

// The even and the odd sums together, of the first tokens or of the others: of each token those of 16 rows.
INLINE void take_sums(bool others, long tokens, __m512i (&out)[TILE]) {
    float even[TILE * TILE], odd[TILE * TILE];
    if (others) {
        _tile_stored(2, even, 4 * tokens);
        _tile_stored(3, odd, 4 * tokens);
    } else {
        _tile_stored(0, even, 4 * tokens);
        _tile_stored(1, odd, 4 * tokens);
    }
    if (tokens == 1) {
        out[0] = _mm512_castps_si512(_mm512_add_ps(_mm512_loadu_ps(even), _mm512_loadu_ps(odd)));
        return;
    }
    for (long r = 0; r < TILE; r++) {
        auto row = [&](const float *of) { return _mm512_maskz_loadu_ps(first_words(tokens), of + r * tokens); };
        out[r] = _mm512_castps_si512(_mm512_add_ps(row(even), row(odd)));
    }
    transpose(out);
}

// Activations as tiles want them, `width` tokens side by side; tokens that there are not are zeros.
class TileActivations {
  public:
    const long width, parts;

    TileActivations(const Activation *const *x, long tokens, long columns, Activation *memory)
        : width((tokens + parts_of(tokens) - 1) / parts_of(tokens)), parts(parts_of(tokens)), columns(columns),
          packed(tokens == 1 ? x[0] : memory) {
        if (tokens == 1) return;
        for (long first = 0; first < tokens; first += width)
            for (long k = 0; k < columns; k += TILE_COLUMNS) {
                __m512i pairs[TILE];
                for (long t = 0; t < TILE; t++)
                    pairs[t] = t < std::min(width, tokens - first) ? _mm512_loadu_si512(x[first + t] + k) : __m512i{};
                transpose(pairs);
                for (long pair = 0; pair < TILE; pair++, memory += 2 * width)
                    _mm512_mask_storeu_epi32(memory, first_words(width), pairs[pair]);
            }
    }
    static long parts_of(long tokens) { return (tokens + TILE - 1) / TILE; }
    // The tile `i` of a part, none if there is no such part.
    INLINE const Activation *tile(long part, long i) const {
        return part < parts ? packed + (part * columns + i * TILE_COLUMNS) * width : nullptr;
    }

  private:
    const long columns;
    const Activation *const packed;
};

// Rows first … last − 1 times x[0 … tokens − 1], see `multiply`.
template <class Rows, class Memory, class Take>
void multiply_tiles(
    const Rows &rows, long first, long last, const Activation *const *x, long tokens, Memory &scratch, const Take &take) {
    const long columns = Rows::padded(rows.columns), tiles = columns / TILE_COLUMNS, pieces = columns / PIECE;
    const long kept = TILE * std::max(columns, 2 * PIECE), needed = kept + (tokens + TILE) * columns;
    if (long(scratch.size()) < needed) scratch.resize(needed);
    bf16 *const memory = scratch.data();
    const TileActivations activations(x, tokens, columns, memory + kept);
    const long width = activations.width, parts = activations.parts;
    shape_tiles(width);

    auto hand_on = [&](long row, long part) {
        const long count = std::min(TILE, last - row);
        for (long p = part; p < std::min(part + 2, parts); p++) {
            __m512i sums[TILE];
            take_sums(p > part, width, sums);
            for (long t = 0; t < std::min(width, tokens - p * width); t++) {
                float values[TILE];
                _mm512_storeu_si512(values, sums[t]);
                for (long r = 0; r < count; r++) values[r] *= rows.scale(row + r);
                take(row, count, p * width + t, values);
            }
        }
    };
    auto add = [&](long part, long i, const bf16 *weights, long stride) {
        add_tile(i, weights, stride, activations.tile(part, i), activations.tile(part + 1, i), width);
    };

    if constexpr (Rows::PACKED) {
        // Kept where they are multiplied again, else two in turn.
        auto piece = [&](long number) { return memory + (parts > 2 ? number : number % 2) * TILE * PIECE; };
        for (long row = first; row < last; row += TILE) {
            typename Rows::Pieces packed(rows, row, std::min(TILE, last - row));
            const bf16 *unpacked = nullptr;
            clear_sums();
            for (long next = 0; next <= pieces; next++) {
                bf16 *const to = piece(next);
                if (next < pieces) packed.go_to(next * PIECE);
                for (long i = 0; i < TILES; i++) {
                    if (next < pieces) packed.unpack_four(4 * i, to);
                    if (next > 0) add(0, (next - 1) * TILES + i, unpacked + i * TILE_SIZE, TILE_COLUMNS);
                }
                unpacked = to;
            }
            hand_on(row, 0);
            for (long part = 2; part < parts; part += 2) {
                clear_sums();
                for (long i = 0; i < tiles; i++) add(part, i, memory + i * TILE_SIZE, TILE_COLUMNS);
                hand_on(row, part);
            }
        }
    } else {
        for (long row = first; row < last; row += TILE) {
            const long count = std::min(TILE, last - row);
            const bf16 *from = rows.values + row * rows.stride, *next = from + TILE * rows.stride;
            long stride = rows.stride;
            if (count < TILE) { // A tile has 16 rows, and what follows the last one may not be ours to read.
                for (long r = 0; r < count; r++) std::memcpy(memory + r * columns, from + r * stride, 2 * columns);
                from = memory, stride = columns;
            }
            for (long part = 0; part < parts; part += 2) {
                clear_sums();
                for (long i = 0; i < tiles; i++) {
                    for (int line = 0; part == 0 && line < TILE; line++) ask_for_ahead(next + (i * TILE + line) * TILE_COLUMNS);
                    add(part, i, from + i * TILE_COLUMNS, stride);
                }
                hand_on(row, part);
            }
        }
    }
}
