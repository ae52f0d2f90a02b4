// Rows of weights times activations, on AVX512-BF16: 32 products an instruction.
//
// Activations are bf16, each row in the order that its matrix is unpacked in, filled up with zeros. An MXFP4 row is
// read 64 bytes at a time, 128 columns: as 32 words of four nibbles, nibble j of word w is column 4w + j, so that
// three shifts bring every nibble to the place where one table look-up makes it a bf16.
#pragma once

#include <immintrin.h>

#include "vector.h"

typedef bf16 Activation;
typedef __m512 Sum;
constexpr int TOKENS = 8; // Activations that a row is multiplied with at a time, their sums in registers.
constexpr int TILE = 4;   // Unpacked rows, and activations, that are multiplied together.

INLINE Activation to_activation(float x) { return to_bf16(x); }

INLINE __m512i load_activations(const Activation *from) { return _mm512_loadu_si512(from); }

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

// bf16 rows in their own order, `stride` apart; columns in multiples of 32.
struct Bf16Rows {
    static constexpr long DIRECT = 1L << 40; // As many activations as there are: nothing is unpacked.
    const bf16 *values;
    long columns, stride;

    static long padded(long columns) { return columns; }
    static long place(long column) { return column; }
    INLINE float scale(long) const { return 1.0f; }
    void unpack(long, Activation *) const {}

    // Two sums for each activation, so that a product need not wait for the last one; as many beside however many others,
    // so that a row's result does not depend on them.
    template <int T> INLINE void accumulate(long row, const Activation *const *x, __m512 (&sums)[T]) const {
        constexpr int PARTS = 2;
        const bf16 *w = values + row * stride;
        __m512 parts[T][PARTS] = {};
        long k = 0;
        for (; k + 32 * PARTS <= columns; k += 32 * PARTS)
#pragma GCC unroll 2
            for (int part = 0; part < PARTS; part++) {
                __m512i weights = _mm512_loadu_si512(w + k + 32 * part);
#pragma GCC unroll 8
                for (int t = 0; t < T; t++)
                    parts[t][part] = dot(parts[t][part], weights, load_activations(x[t] + k + 32 * part));
            }
        for (; k < columns; k += 32)
            for (int t = 0; t < T; t++)
                parts[t][0] = dot(parts[t][0], _mm512_loadu_si512(w + k), load_activations(x[t] + k));
        for (int t = 0; t < T; t++) sums[t] = _mm512_add_ps(parts[t][0], parts[t][1]);
    }
};

// e4m3 rows with a scale each, 64 columns at a time: two table look-ups give the two bytes of each bf16, and
// unpacking these leaves columns 0–7 of every 16 in one register, 8–15 in the other.
struct Fp8Rows {
    static constexpr long DIRECT = TOKENS;
    const uint8_t *values;
    const float *scales;
    long columns;

    static long padded(long columns) { return (columns + 63) / 64 * 64; }
    static long place(long k) { return k / 64 * 64 + (k & 8) * 4 + (k % 64) / 16 * 8 + (k & 7); }
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

    template <int T>
    INLINE void step(
        const Tables &tables, long row, long k, long there, const Activation *const *x, __m512 (&even)[T],
        __m512 (&odd)[T]) const {
        __m512i first, second;
        pair(tables, read(row, k, there), first, second);
#pragma GCC unroll 8
        for (int t = 0; t < T; t++) {
            even[t] = dot(even[t], first, load_activations(x[t] + k));
            odd[t] = dot(odd[t], second, load_activations(x[t] + k + 32));
        }
    }

    template <int T> INLINE void accumulate(long row, const Activation *const *x, __m512 (&sums)[T]) const {
        const Tables in_registers = all_tables;
        __m512 odd[T] = {};
        for (int t = 0; t < T; t++) sums[t] = _mm512_setzero_ps();
        long k = 0;
        for (; k + 64 <= columns; k += 64) step(in_registers, row, k, 64, x, sums, odd);
        if (k < columns) step(in_registers, row, k, columns - k, x, sums, odd);
        for (int t = 0; t < T; t++) sums[t] = _mm512_add_ps(sums[t], odd[t]);
    }

    void unpack(long row, Activation *to) const {
        for (long k = 0; k < columns; k += 64) {
            __m512i first, second;
            pair(all_tables, read(row, k, columns - k), first, second);
            _mm512_storeu_si512(to + k, first);
            _mm512_storeu_si512(to + k + 32, second);
        }
    }

    static const Tables all_tables;
};

const Fp8Rows::Tables Fp8Rows::all_tables;

// Rows of MXFP4 as published. Unpacked to bf16, scale bytes are held within 2 … 252, where every value is an ordinary
// bf16; trained checkpoints have none beyond.
struct Mxfp4Rows {
    static constexpr long DIRECT = TOKENS;
    static constexpr long AHEAD = 4096; // Bytes: a tenth faster than what the processor foresees by itself.
    const uint8_t *blocks, *scale_bytes;
    long columns;

    static long padded(long columns) { return (columns + 127) / 128 * 128; }
    static long place(long k) { return k / 128 * 128 + (k & 3) * 32 + (k % 128) / 4; }
    INLINE float scale(long) const { return 1.0f; }

    // The values of the 16 nibbles, twice: the fifth bit of an index belongs to the next nibble.
    static INLINE __m512i table() {
        const __m256i once = _mm256_setr_epi16(
            0x0000, 0x3f00, 0x3f80, 0x3fc0, 0x4000, 0x4040, 0x4080, 0x40c0,
            short(0x8000), short(0xbf00), short(0xbf80), short(0xbfc0), short(0xc000), short(0xc040), short(0xc080),
            short(0xc0c0));
        return _mm512_broadcast_i64x4(once);
    }

    INLINE __m512i read(long row, long k, long there) const {
        return load_first(blocks + (row * columns + k) / 2, there / 2);
    }

    // The scales of four blocks, in each of the four lanes of 128 bits.
    INLINE __m512i read_scales(long row, long k, long there) const {
        const uint8_t *from = scale_bytes + (row * columns + k) / 32;
        uint32_t four = 0;
        std::memcpy(&four, from, there >= 128 ? 4 : there / 32);
        return _mm512_set1_epi32(int(four));
    }

    static INLINE void nibbles(__m512i packed, __m512i (&values)[4]) {
        values[0] = _mm512_permutexvar_epi16(packed, table());
        values[1] = _mm512_permutexvar_epi16(_mm512_srli_epi16(packed, 4), table());
        values[2] = _mm512_permutexvar_epi16(_mm512_srli_epi16(packed, 8), table());
        values[3] = _mm512_permutexvar_epi16(_mm512_srli_epi16(packed, 12), table());
    }

    template <int T>
    INLINE void step(long row, long k, long there, const Activation *const *x, __m512 (&sums)[T]) const {
        const __m512i to_words = _mm512_set_epi32(
            0x80808003, 0x80808003, 0x80808003, 0x80808003, 0x80808002, 0x80808002, 0x80808002, 0x80808002,
            0x80808001, 0x80808001, 0x80808001, 0x80808001, 0x80808000, 0x80808000, 0x80808000, 0x80808000);
        ask_for(blocks + (row * columns + k) / 2 + AHEAD);
        __m512i w[4];
        nibbles(read(row, k, there), w);
        __m512 scale = (__m512)_mm512_slli_epi32(_mm512_shuffle_epi8(read_scales(row, k, there), to_words), 23);
        __m512 block[T] = {};
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
#pragma GCC unroll 8
            for (int t = 0; t < T; t++) block[t] = dot(block[t], w[j], load_activations(x[t] + k + 32 * j));
#pragma GCC unroll 8
        for (int t = 0; t < T; t++) sums[t] = _mm512_fmadd_ps(scale, block[t], sums[t]);
    }

    template <int T> INLINE void accumulate(long row, const Activation *const *x, __m512 (&sums)[T]) const {
        for (int t = 0; t < T; t++) sums[t] = _mm512_setzero_ps();
        long k = 0;
        for (; k + 128 <= columns; k += 128) step(row, k, 128, x, sums);
        if (k < columns) step(row, k, columns - k, x, sums);
    }

    // With the scales in the exponents.
    void unpack(long row, Activation *to) const {
        const __m512i to_halves = _mm512_set_epi32(
            0x80038003, 0x80038003, 0x80038003, 0x80038003, 0x80028002, 0x80028002, 0x80028002, 0x80028002,
            0x80018001, 0x80018001, 0x80018001, 0x80018001, 0x80008000, 0x80008000, 0x80008000, 0x80008000);
        for (long k = 0; k < columns; k += 128) {
            __m512i w[4];
            nibbles(read(row, k, columns - k), w);
            __m512i bytes = _mm512_max_epu8(read_scales(row, k, columns - k), _mm512_set1_epi8(2));
            __m512i scale = _mm512_shuffle_epi8(_mm512_min_epu8(bytes, _mm512_set1_epi8(char(252))), to_halves);
            __m512i exponent = _mm512_slli_epi16(_mm512_sub_epi16(scale, _mm512_set1_epi16(127)), 7);
            for (int j = 0; j < 4; j++) {
                __mmask32 is_not_zero = _mm512_test_epi16_mask(w[j], _mm512_set1_epi16(0x7fff));
                _mm512_storeu_si512(to + k + 32 * j, _mm512_mask_add_epi16(w[j], is_not_zero, w[j], exponent));
            }
        }
    }
};
