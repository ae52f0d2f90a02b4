// From token ids to rows of numbers, and from the last rows to float32.
#pragma once

#include "linear.h"

// [tokens], [vocabulary, columns] → [tokens, columns].
inline void embed(const int32_t *token_ids, const bf16 *table, bf16 *out, long tokens, long columns) {
    for (long t = 0; t < tokens; t++)
        std::memcpy(out + t * columns, table + token_ids[t] * columns, columns * sizeof(bf16));
}

inline void widen(const bf16 *x, float *out, long count, int threads) {
    constexpr long SHARE = 1 << 14; // Numbers that are worth waking a thread for.
    if (count < 2 * SHARE) threads = 1;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (long first = 0; first < count; first += SHARE) {
        const long last = std::min(first + SHARE, count);
        long i = first;
        for (; i + LANES <= last; i += LANES) store(out + i, widen(load<halves>(x + i)));
        for (; i < last; i++) out[i] = to_float(x[i]);
    }
}
