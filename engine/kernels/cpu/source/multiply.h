// The product that all others are made of: some rows of a matrix times some rows of activations.
#pragma once

#include <vector>

#if defined(__AVX512BF16__)
#include "rows_avx512.h"
#else
#include "rows_portable.h"
#endif

// Rows that were unpacked, one after the other, in the order of the activations.
struct UnpackedRows {
    const Activation *values;
    long columns;

    template <int R, int T> INLINE void accumulate(long row, const Activation *const *x, Sum (&sums)[T][R]) const {
#if defined(__AVX512BF16__)
        Bf16Rows{values, columns, columns}.accumulate(row, x, sums);
#else
        const Activation *w = values + row * columns;
        for (long k = 0; k < columns; k += LANES)
            for (int r = 0; r < R; r++) {
                floats weights = load<floats>(w + r * columns + k);
                for (int t = 0; t < T; t++) sums[t][r] += weights * load<floats>(x[t] + k);
            }
#endif
    }
};

template <int R, int T, class Rows, class Take>
INLINE void tile(const Rows &rows, long row, const Activation *const *x, long token, const Take &take) {
    Sum sums[T][R] = {};
    rows.template accumulate<R, T>(row, x + token, sums);
    for (int t = 0; t < T; t++) {
        float values[R];
        add_up<R>(sums[t], values);
        take(token + t, values);
    }
}

// R rows from `row` on times every activation.
template <int R, class Rows, class Take>
INLINE void tiles(const Rows &rows, long row, const Activation *const *x, long tokens, const Take &take) {
    long token = 0;
    for (; token + TILE <= tokens; token += TILE) tile<R, TILE>(rows, row, x, token, take);
    if (TILE > 2 && tokens - token == 3) tile<R, 3>(rows, row, x, token, take);
    if (TILE > 2 && tokens - token == 2) tile<R, 2>(rows, row, x, token, take);
    if (tokens - token == 1) tile<R, 1>(rows, row, x, token, take);
}

template <int R, class Rows, class Take>
INLINE void rows_times(
    const Rows &rows, long row, const Activation *const *x, long tokens, std::vector<Activation> &scratch,
    const Take &take) {
    auto scaled = [&](long token, float *values) {
        for (int r = 0; r < R; r++) values[r] *= rows.scale(row + r);
        take(row, R, token, values);
    };
    if (tokens <= Rows::DIRECT) return tiles<R>(rows, row, x, tokens, scaled);
    long padded = Rows::padded(rows.columns);
    scratch.resize(TILE * padded);
    for (int r = 0; r < R; r++) rows.unpack(row + r, scratch.data() + r * padded);
    tiles<R>(UnpackedRows{scratch.data(), padded}, 0, x, tokens, scaled);
}

// Rows first … last − 1 times x[0 … tokens − 1]; `take(row, count, token, values)` gets the products of `count`
// neighbouring rows: TILE of them, or one where `last − first` is no multiple of TILE.
template <class Rows, class Take>
void multiply(
    const Rows &rows, long first, long last, const Activation *const *x, long tokens, std::vector<Activation> &scratch,
    const Take &take) {
    long row = first;
    for (; row + TILE <= last; row += TILE) rows_times<TILE>(rows, row, x, tokens, scratch, take);
    for (; row < last; row++) rows_times<1>(rows, row, x, tokens, scratch, take);
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
