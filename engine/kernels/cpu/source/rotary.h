// Rotary positions: the turns of a step's tokens, and what they turn.
#pragma once

#include "linear.h"

// [tokens], [half] → [tokens, half] twice: cos and sin of position · frequency, times `concentration`.
inline void cos_sin(
    const int32_t *positions, const float *frequencies, float concentration, float *cos, float *sin, long tokens,
    long half, int threads) {
    threads = threads_for_tokens(tokens, threads);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (long t = 0; t < tokens; t++)
        for (long i = 0; i < half; i++) {
            float angle = float(positions[t]) * frequencies[i];
            cos[t * half + i] = std::cos(angle) * concentration;
            sin[t * half + i] = std::sin(angle) * concentration;
        }
}

ONCE void rotate(const bf16 *x, const float *cos, const float *sin, long head_dim, bf16 *out) {
    long half = head_dim / 2;
    for (long i = 0; i < half; i += LANES) {
        floats a = widen(load<halves>(x + i)), b = widen(load<halves>(x + half + i));
        floats c = load<floats>(cos + i), s = load<floats>(sin + i);
        store(out + i, narrow(a * c - b * s));
        store(out + half + i, narrow(b * c + a * s));
    }
}
