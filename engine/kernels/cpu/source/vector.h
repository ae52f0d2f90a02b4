// Vectors of floats as wide as the machine's registers, in GCC's and Clang's portable notation.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#define INLINE inline __attribute__((always_inline))
// Compiled once. Where two products are added, which of them is rounded is the compiler's choice: here all callers get the
// same one.
#define ONCE static __attribute__((noinline))

#if defined(__AVX512F__)
constexpr long LANES = 16;
#elif defined(__AVX__)
constexpr long LANES = 8;
#else
constexpr long LANES = 4;
#endif

typedef uint16_t bf16;
typedef float floats __attribute__((vector_size(4 * LANES)));
typedef int32_t ints __attribute__((vector_size(4 * LANES)));
typedef uint32_t words __attribute__((vector_size(4 * LANES)));
typedef uint64_t pairs_of_words __attribute__((vector_size(8 * LANES)));
typedef uint16_t halves __attribute__((vector_size(2 * LANES)));
typedef uint8_t bytes __attribute__((vector_size(LANES)));

template <class V, class T> INLINE V load(const T *from) {
    V v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

template <class V, class T> INLINE void store(T *to, V v) { std::memcpy(to, &v, sizeof v); }

INLINE float to_float(bf16 x) {
    uint32_t bits = uint32_t(x) << 16;
    float f;
    std::memcpy(&f, &bits, sizeof f);
    return f;
}

// Nearest, ties to even; what is no number stays none.
INLINE bf16 to_bf16(float x) {
    if (x != x) return 0x7fc0;
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bf16((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// What will be read soon, in an order that the processor does not foresee well.
INLINE void ask_for(const void *soon) { __builtin_prefetch(soon); }

// The same into the second-level cache, from further off.
INLINE void ask_for_ahead(const void *later) { __builtin_prefetch(later, 0, 2); }

INLINE floats widen(halves x) {
#if defined(__AVX512F__) // GCC takes three instructions more.
    return (floats)_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)x), 16);
#else
    return (floats)(__builtin_convertvector(x, words) << 16);
#endif
}

INLINE halves narrow(floats x) {
    words bits = (words)x;
    words rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    words kept = x == x ? rounded : words{} + 0x7fc0;
    return __builtin_convertvector(kept, halves);
}

INLINE float sum(floats x) {
#if defined(__AVX512F__) // In four steps and not in sixteen.
    return _mm512_reduce_add_ps((__m512)x);
#else
    float s = 0;
    for (long i = 0; i < LANES; i++) s += x[i];
    return s;
#endif
}

INLINE float largest_of(floats x) {
#if defined(__AVX512F__)
    return _mm512_reduce_max_ps((__m512)x);
#else
    float most = x[0];
    for (long i = 1; i < LANES; i++) most = x[i] > most ? x[i] : most;
    return most;
#endif
}

// e^x = 2^n · e^f with |f| ≤ ln(2)/2, e^f by its series to f^7: relative error about 1e-7. Under −87 it is about 0.
INLINE floats exponential(floats x) {
    x = x < -87.0f ? floats{} - 87.0f : x;
    x = x > 88.0f ? floats{} + 88.0f : x;
    const float shift = 12582912.0f; // 1.5 · 2^23: adding it rounds to whole numbers
    floats n = (x * 1.44269504f + shift) - shift;
    floats f = x - n * 0.693145752f - n * 1.42860677e-6f;
    floats p = f * (1.0f / 5040) + 1.0f / 720;
    p = p * f + 1.0f / 120;
    p = p * f + 1.0f / 24;
    p = p * f + 1.0f / 6;
    p = p * f + 0.5f;
    p = p * f + 1.0f;
    p = p * f + 1.0f;
    return (floats)((ints)p + (__builtin_convertvector(n, ints) << 23));
}
