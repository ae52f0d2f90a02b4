// Rows of weights times activations, on AVX512-BF16: 32 products an instruction.
//
// Activations are bf16, each row in the order that its matrix is unpacked in, filled up with zeros. An MXFP4 row is
// read 64 bytes at a time, 128 columns: as 32 words of four nibbles, nibble j of word w is column 4w + j, so that
// three shifts bring every nibble to the place where one table look-up makes it a bf16.
//
// R rows are multiplied with T activations at once: what is loaded or unpacked is used many times, and up to 16 sums
// hide the time that one takes. Each product is a single sum over the columns in their order, whatever R and T are:
// a token's result does not depend on its company. What comes after the rows is asked for in the order of memory: where
// they lie side by side it comes fastest so, and some processors do not look far enough ahead along a single one.
#pragma once

#include <algorithm>
#include <immintrin.h>

#include "vector.h"

typedef bf16 Activation;
typedef __m512 Sum;
// Tiles are of 16 rows and 32 columns; four at a time are unpacked, see tiles.h.
constexpr long TILE = 16, TILE_COLUMNS = 32, TILE_SIZE = TILE * TILE_COLUMNS, TILES = 4, PIECE = TILES * TILE_COLUMNS;
constexpr int TOKENS = 8; // Activations that rows are multiplied with at a time, their sums in registers.

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

template <int N> INLINE void add_up(const __m512 *sums, float *out) {
    __m512 filled[(N + 3) / 4 * 4] = {};
    float all[(N + 3) / 4 * 4];
    for (int n = 0; n < N; n++) filled[n] = sums[n];
    for (int n = 0; n < N; n += 4) add_up_four(filled + n, all + n);
    for (int n = 0; n < N; n++) out[n] = all[n];
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
    static INLINE void put(Activation *to, long k, halves x) { store(to + k, x); }
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
    const uint8_t *values;
    const float *scales;
    long columns;

    static constexpr int beside(int tokens) { return tokens <= 4 ? 4 : 2; }
    static long padded(long columns) { return (columns + PIECE - 1) / PIECE * PIECE; }
    static INLINE void put(Activation *to, long k, halves x) {
        to += k / 64 * 64 + k % 64 / 2;
        std::memcpy(to, &x, 16);
        std::memcpy(to + 32, (const char *)&x + 16, 16);
    }
    INLINE float scale(long row) const { return scales[row]; }

    struct Tables {
        __m512i high[2], low[2];
        Tables() {
            uint8_t h[128], l[128];
            for (int m = 0; m < 128; m++) { // 7 bits of e4m3: m / 8 is the exponent, of which 0 stands for 1 and no 1.f
                bf16 value = to_bf16(m < 8 ? std::ldexp(float(m), -9) : std::ldexp(float(8 + m % 8), m / 8 - 10));
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

    // 16 rows on their way to tiles, PIECE columns at a time.
    class Pieces {
      public:
        Pieces(const Fp8Rows &rows, long row, long count)
            : columns(rows.columns), count(count), all(rows.values + row * columns) {}

        INLINE void go_to(long column) { k = column; }

        // Four rows to the lines of all tiles that are theirs; and asks for as much of what comes 16 rows later.
        INLINE void unpack_four(long first, bf16 *tiles) const {
            const Tables in_registers = all_tables;
            const uint8_t *from = all + first * columns + k, *later = all + TILE * (columns + k) + first * PIECE;
            for (long r = first; r < std::min(first + 4, count); r++, from += columns)
                for (long i = 0; i < TILES; i += 2, later += 2 * TILE_COLUMNS) {
                    bf16 *const to = tiles + i * TILE_SIZE + r * TILE_COLUMNS;
                    __m512i left, right;
                    ask_for(later);
                    const long there = std::max(columns - k - i * TILE_COLUMNS, 0L);
                    pair(in_registers, load_first(from + i * TILE_COLUMNS, there), left, right);
                    _mm512_store_si512(to, left);
                    _mm512_store_si512(to + TILE_SIZE, right);
                }
        }

      private:
        const long columns, count;
        const uint8_t *const all;
        long k = 0;
    };

    static const Tables all_tables;
};

const Fp8Rows::Tables Fp8Rows::all_tables;

// Rows of MXFP4 as published. Unpacked to bf16, scale bytes are held within 42 … 252, where every value is an ordinary
// bf16; trained checkpoints have none beyond. A zero is unpacked to 2^-41 of its scale, of which no sum of floats that
// has anything else in it can tell: so a scale is taken off it like off any other, by the one instruction that does not
// wait for the units that multiply.
struct Mxfp4Rows {
    static constexpr bool TILED = true, PACKED = true;
    static constexpr long AHEAD = 4096; // Bytes.
    const uint8_t *blocks, *scale_bytes;
    long columns;

    static constexpr int beside(int tokens) { return tokens <= 4 ? 4 : 2; }
    static long padded(long columns) { return (columns + PIECE - 1) / PIECE * PIECE; }
    static INLINE void put(Activation *to, long k, halves x) {
        const __m256i by_nibble = _mm256_setr_epi16(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        __m256i sorted = _mm256_permutexvar_epi16(by_nibble, (__m256i)x);
        to += k / 128 * 128 + k % 128 / 4;
        for (int j = 0; j < 4; j++) std::memcpy(to + 32 * j, (const char *)&sorted + 8 * j, 8);
    }
    INLINE float scale(long) const { return 1.0f; }

    // The values of the 16 nibbles times 2^125, twice: the fifth bit of an index belongs to the next nibble. What a scale
    // is less than the largest is then taken off the exponents.
    static INLINE __m512i table() {
        const __m256i once = _mm256_setr_epi16(
            0x6980, 0x7d80, 0x7e00, 0x7e40, 0x7e80, 0x7ec0, 0x7f00, 0x7f40,
            short(0xe980), short(0xfd80), short(0xfe00), short(0xfe40), short(0xfe80), short(0xfec0), short(0xff00), short(0xff40));
        return _mm512_broadcast_i64x4(once);
    }

    INLINE __m512i read(long row, long k, long there) const {
        return load_first(blocks + (row * columns + k) / 2, there / 2);
    }

    static constexpr long SCALED = 1024; // Columns whose 32 scales are in one register.

    // What each of their scales takes off the exponents of bf16.
    INLINE __m512i read_scales(long row, long k) const {
        const uint8_t *from = scale_bytes + (row * columns + k) / 32;
        long there = std::min(SCALED, columns - k) / 32;
        __m256i bytes = _mm256_maskz_loadu_epi8(uint32_t((1ULL << there) - 1), from);
        __m256i less = _mm256_min_epu8(_mm256_subs_epu8(_mm256_set1_epi8(char(252)), bytes), _mm256_set1_epi8(char(210)));
        return _mm512_slli_epi16(_mm512_cvtepu8_epi16(less), 7);
    }

    // Which of the scales belong to the first 128 columns.
    static INLINE __m512i first_scales() {
        return _mm512_set_epi64(
            0x0003000300030003, 0x0003000300030003, 0x0002000200020002, 0x0002000200020002, 0x0001000100010001,
            0x0001000100010001, 0, 0);
    }

    template <int J> static INLINE __m512i nibble(__m512i packed, __m512i less) {
        return _mm512_sub_epi16(_mm512_permutexvar_epi16(_mm512_srli_epi16(packed, 4 * J), table()), less);
    }

    template <int J, int R, int T>
    static INLINE void add_nibbles(
        const __m512i (&packed)[R], const __m512i (&less)[R], const Activation *const *x, long k, __m512 (&sums)[T][R]) {
        __m512i weights[R];
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) weights[r] = nibble<J>(packed[r], less[r]);
        add_products(weights, x, k + 32 * J, sums);
    }

    template <int R, int T> INLINE void accumulate(long row, const Activation *const *x, __m512 (&sums)[T][R]) const {
        const uint8_t *ahead = blocks + row * columns / 2 + AHEAD;
        for (long from = 0; from < columns; from += SCALED) {
            __m512i scales[R], which = first_scales();
            for (int r = 0; r < R; r++) scales[r] = read_scales(row + r, from);
            for (long k = from; k < std::min(from + SCALED, columns); k += 128) {
                __m512i packed[R], less[R];
#pragma GCC unroll 4
                for (int r = 0; r < R; r++) {
                    ask_for(ahead + R * k / 2 + 64 * r);
                    packed[r] = read(row + r, k, columns - k);
                    less[r] = _mm512_permutexvar_epi16(which, scales[r]);
                }
                add_nibbles<0>(packed, less, x, k, sums);
                add_nibbles<1>(packed, less, x, k, sums);
                add_nibbles<2>(packed, less, x, k, sums);
                add_nibbles<3>(packed, less, x, k, sums);
                which = _mm512_add_epi16(which, _mm512_set1_epi16(4));
            }
        }
    }

    // 16 rows on their way to tiles, PIECE columns at a time.
    class Pieces {
      public:
        Pieces(const Mxfp4Rows &rows, long row, long count)
            : rows(rows), columns(rows.columns), row(row), count(count), all(rows.blocks + row * columns / 2) {}

        INLINE void go_to(long column) {
            k = column;
            if (k % SCALED == 0)
                for (long r = 0; r < count; r++) scales[r] = rows.read_scales(row + r, k);
        }

        // Four rows to the lines of all tiles that are theirs; and asks for as much of what comes 16 rows later.
        INLINE void unpack_four(long first, bf16 *tiles) const {
            const uint8_t *from = all + (first * columns + k) / 2, *later = all + (TILE * (columns + k) + first * PIECE) / 2;
            const __m512i which = _mm512_add_epi16(first_scales(), _mm512_set1_epi16(short(k % SCALED / 32)));
            for (long r = first; r < std::min(first + 4, count); r++, from += columns / 2, later += PIECE / 2) {
                bf16 *const to = tiles + r * TILE_COLUMNS;
                ask_for(later);
                __m512i packed = load_first(from, (columns - k) / 2), less = _mm512_permutexvar_epi16(which, scales[r]);
                _mm512_store_si512(to, nibble<0>(packed, less));
                _mm512_store_si512(to + TILE_SIZE, nibble<1>(packed, less));
                _mm512_store_si512(to + 2 * TILE_SIZE, nibble<2>(packed, less));
                _mm512_store_si512(to + 3 * TILE_SIZE, nibble<3>(packed, less));
            }
        }

      private:
        const Mxfp4Rows &rows;
        const long columns, row, count;
        const uint8_t *const all;
        long k = 0;
        __m512i scales[TILE];
    };
};
