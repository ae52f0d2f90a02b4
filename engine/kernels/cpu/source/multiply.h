// The product that all others are made of: some rows of a matrix times some rows of activations.
#pragma once

#include <algorithm>

#include "activations.h"
#if defined(__AMX_BF16__)
#include "tiles.h"
#endif

constexpr long GROUP = 32; // Rows whose products are handed on together; they stay in the second-level cache meanwhile.

template <int N> INLINE void add_up(const Sum *sums, float *out) {
    Sum filled[(N + 3) / 4 * 4] = {};
    float all[(N + 3) / 4 * 4];
    for (int n = 0; n < N; n++) filled[n] = sums[n];
    for (int n = 0; n < N; n += 4) add_up_four(filled + n, all + n);
    for (int n = 0; n < N; n++) out[n] = all[n];
}

// R neighbouring rows times T activations → out[t][r].
template <int R, int T, class Rows>
INLINE void multiply_beside(const Rows &rows, long row, const Activation *const *x, float (*out)[GROUP]) {
    Sum sums[T][R] = {};
    float values[T * R];
    rows.template accumulate<R, T>(row, x, sums);
    add_up<T * R>(&sums[0][0], values);
    for (int t = 0; t < T; t++)
        for (int r = 0; r < R; r++) out[t][r] = values[t * R + r] * rows.scale(row + r);
}

// A group of rows times T activations.
template <int T, class Rows, class Take>
void group_times(const Rows &rows, long first, long last, const Activation *const *x, long token, const Take &take) {
    constexpr int BESIDE = Rows::beside(T);
    const Activation *own[T];
    float products[T][GROUP];
    for (int t = 0; t < T; t++) own[t] = x[token + t];
    long row = first;
    for (; row + BESIDE <= last; row += BESIDE)
        multiply_beside<BESIDE, T>(rows, row, own, (float(*)[GROUP])(&products[0][row - first]));
    for (; row < last; row++) multiply_beside<1, T>(rows, row, own, (float(*)[GROUP])(&products[0][row - first]));
    for (int t = 0; t < T; t++) take(first, last - first, token + t, products[t]);
}

// The same for `count` ≤ TOKENS activations.
template <class Rows, class Take>
void group_times_up_to(
    const Rows &rows, long first, long last, const Activation *const *x, long token, long count, const Take &take) {
    switch (count) {
    case 1: return group_times<1>(rows, first, last, x, token, take);
    case 2: return group_times<2>(rows, first, last, x, token, take);
    case 3: return group_times<3>(rows, first, last, x, token, take);
    case 4: return group_times<4>(rows, first, last, x, token, take);
#if defined(__AVX512BF16__)
    case 5: return group_times<5>(rows, first, last, x, token, take);
    case 6: return group_times<6>(rows, first, last, x, token, take);
    case 7: return group_times<7>(rows, first, last, x, token, take);
    case 8: return group_times<8>(rows, first, last, x, token, take);
#endif
    }
}

// The same for any number of activations, `MOST` at a time, as evenly as can be: 9 as 5 and 4.
template <int MOST, class Rows, class Take>
void group_times_all(
    const Rows &rows, long first, long last, const Activation *const *x, long tokens, const Take &take) {
    const long parts = (tokens + MOST - 1) / MOST;
    for (long part = 0; part < parts; part++) {
        const long token = part * tokens / parts;
        group_times_up_to(rows, first, last, x, token, (part + 1) * tokens / parts - token, take);
    }
}

#if !defined(__AVX512BF16__)
// Rows times many activations: some rows are unpacked at a time.
template <class Rows, class Take>
void multiply_unpacked(const Rows &rows, long first, long last, const Batch &x, Buffer &scratch, const Take &take) {
    const long padded = Rows::padded(rows.columns);
    scratch.resize(UNPACKED * padded);
    for (long row = first; row < last; row += UNPACKED) {
        const long count = std::min(UNPACKED, last - row);
        for (long r = 0; r < count; r++) rows.unpack(row + r, scratch.data() + r * padded);
        group_times_all<TOKENS_UNPACKED>(
            UnpackedRows{scratch.data(), padded, padded}, 0, count, x.x, x.tokens,
            [&](long, long neighbours, long token, float *values) {
                for (long r = 0; r < neighbours; r++) values[r] *= rows.scale(row + r);
                take(row, neighbours, token, values);
            });
    }
}
#endif

// Rows first … last − 1 times a batch of activations; `take(row, count, token, values)` gets the products of neighbouring
// rows.
template <class Rows, class Take>
void multiply(
    const Rows &rows, long first, long last, const Batch &x, [[maybe_unused]] Buffer &scratch, const Take &take) {
    if (x.tokens == 0) return;
#if defined(__AMX_BF16__)
    if constexpr (Rows::TILED) return multiply_tiles(rows, first, last, x, scratch, take);
#elif !defined(__AVX512BF16__)
    if constexpr (Rows::PACKED)
        if (x.tokens > TOKENS) return multiply_unpacked(rows, first, last, x, scratch, take);
#endif
    for (long row = first; row < last; row += GROUP)
        group_times_all<TOKENS>(rows, row, std::min(row + GROUP, last), x.x, x.tokens, take);
}
