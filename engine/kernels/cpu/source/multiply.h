// The product that all others are made of: some rows of a matrix times some rows of activations.
#pragma once

#include <algorithm>
#include <vector>

#if defined(__AVX512BF16__)
#include "rows_avx512.h"
#else
#include "rows_portable.h"
#endif

// TILE rows times TILE activations, all in the order of the activations, `padded` numbers each.
INLINE void multiply_tile(const Activation *rows, long padded, const Activation *const *x, Sum (&sums)[TILE][TILE]) {
#if defined(__AVX512BF16__)
    for (long k = 0; k < padded; k += 32) {
        __m512i weights[TILE];
        for (int r = 0; r < TILE; r++) weights[r] = load_activations(rows + r * padded + k);
        for (int t = 0; t < TILE; t++)
            for (int r = 0; r < TILE; r++) sums[t][r] = dot(sums[t][r], weights[r], load_activations(x[t] + k));
    }
#else
    for (long k = 0; k < padded; k += LANES)
        for (int r = 0; r < TILE; r++) {
            floats weights = load<floats>(rows + r * padded + k);
            for (int t = 0; t < TILE; t++) sums[t][r] += weights * load<floats>(x[t] + k);
        }
#endif
}

template <int T, class Rows, class Take>
INLINE void row_times(const Rows &rows, long row, const Activation *const *x, long token, const Take &take) {
    Sum sums[T];
    float values[T];
    rows.accumulate(row, x + token, sums);
    add_up<T>(sums, values);
    for (int t = 0; t < T; t++) take(row, token + t, values[t] * rows.scale(row));
}

// One row times `count` ≤ TOKENS activations: read from its first number to its last, which memory is fastest at.
template <class Rows, class Take>
INLINE void row_times_up_to(
    const Rows &rows, long row, const Activation *const *x, long token, long count, const Take &take) {
    switch (count) {
    case 1: return row_times<1>(rows, row, x, token, take);
    case 2: return row_times<2>(rows, row, x, token, take);
    case 3: return row_times<3>(rows, row, x, token, take);
    case 4: return row_times<4>(rows, row, x, token, take);
#if defined(__AVX512BF16__)
    case 5: return row_times<5>(rows, row, x, token, take);
    case 6: return row_times<6>(rows, row, x, token, take);
    case 7: return row_times<7>(rows, row, x, token, take);
    case 8: return row_times<8>(rows, row, x, token, take);
#endif
    }
}

// Rows first … last − 1 times x[0 … tokens − 1]; `take(row, token, value)` gets every product.
template <class Rows, class Take>
void multiply(
    const Rows &rows, long first, long last, const Activation *const *x, long tokens, std::vector<Activation> &scratch,
    const Take &take) {
    long row = first;
    if (tokens > Rows::DIRECT) {
        const long padded = Rows::padded(rows.columns), whole = tokens / TILE * TILE;
        scratch.resize(TILE * padded);
        for (; row + TILE <= last; row += TILE) {
            for (int r = 0; r < TILE; r++) rows.unpack(row + r, scratch.data() + r * padded);
            for (long token = 0; token < whole; token += TILE) {
                Sum sums[TILE][TILE] = {};
                multiply_tile(scratch.data(), padded, x + token, sums);
                for (int t = 0; t < TILE; t++) {
                    float values[TILE];
                    add_up<TILE>(sums[t], values);
                    for (int r = 0; r < TILE; r++) take(row + r, token + t, values[r] * rows.scale(row + r));
                }
            }
            for (int r = 0; r < TILE && whole < tokens; r++)
                row_times_up_to(rows, row + r, x, whole, tokens - whole, take);
        }
    }
    for (; row < last; row++)
        for (long token = 0; token < tokens; token += TOKENS)
            row_times_up_to(rows, row, x, token, std::min<long>(TOKENS, tokens - token), take);
}

// Rows of numbers as activations of a matrix, and pointers to them.
class Activations {
  public:
    template <class Rows> void resize(long count, long columns) {
        stride = Rows::padded(columns);
        if (long(values.size()) < count * stride) values.resize(count * stride);
        if (stride != columns) std::memset(values.data(), 0, count * stride * sizeof(Activation));
        pointers.resize(count);
        for (long i = 0; i < count; i++) pointers[i] = row(i);
    }
    Activation *row(long i) { return values.data() + i * stride; }
    const Activation *const *all() const { return pointers.data(); }

  private:
    long stride = 0;
    std::vector<Activation> values;
    std::vector<const Activation *> pointers;
};

template <class Rows> INLINE void put(Activation *to, const bf16 *from, long columns) {
    for (long k = 0; k < columns; k++) {
#if defined(__AVX512BF16__)
        to[Rows::place(k)] = from[k];
#else
        to[Rows::place(k)] = to_float(from[k]);
#endif
    }
}
