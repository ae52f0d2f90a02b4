// The product that all others are made of: some rows of a matrix times some rows of activations.
#pragma once

#include <algorithm>
#include <new>
#include <vector>

#if defined(__AVX512BF16__)
#include "rows_avx512.h"
#else
#include "rows_portable.h"
#endif

// Memory that begins with a cache line: a vector that lies across two of them takes twice as long to load.
template <class T> struct Aligned {
    typedef T value_type;
    static constexpr std::align_val_t LINE{64};
    T *allocate(size_t count) { return static_cast<T *>(operator new(count * sizeof(T), LINE)); }
    void deallocate(T *memory, size_t) { operator delete(memory, LINE); }
    bool operator==(const Aligned &) const { return true; }
    bool operator!=(const Aligned &) const { return false; }
};
typedef std::vector<Activation, Aligned<Activation>> Buffer;

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

constexpr long GROUP = 32; // Rows whose products are handed on together; they stay in the second-level cache meanwhile.

// A group of rows times T activations: each row from its first number to its last, which is how memory is fastest.
template <int T, class Rows, class Take>
void group_times(const Rows &rows, long first, long last, const Activation *const *x, long token, const Take &take) {
    const Activation *own[T];
    float products[T][GROUP];
    for (int t = 0; t < T; t++) own[t] = x[token + t];
    for (long row = first; row < last; row++) {
        Sum sums[T];
        float values[T];
        rows.accumulate(row, own, sums);
        add_up<T>(sums, values);
        for (int t = 0; t < T; t++) products[t][row - first] = values[t] * rows.scale(row);
    }
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

// Rows first … last − 1 times x[0 … tokens − 1]; `take(row, count, token, values)` gets the products of neighbouring rows.
template <class Rows, class Take>
void multiply(
    const Rows &rows, long first, long last, const Activation *const *x, long tokens, Buffer &scratch,
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
                    for (int r = 0; r < TILE; r++) values[r] *= rows.scale(row + r);
                    take(row, TILE, token + t, values);
                }
            }
            if (whole < tokens) group_times_up_to(rows, row, row + TILE, x, whole, tokens - whole, take);
        }
    }
    for (; row < last; row += GROUP)
        for (long token = 0; token < tokens; token += TOKENS) {
            long count = std::min<long>(TOKENS, tokens - token);
            group_times_up_to(rows, row, std::min(row + GROUP, last), x, token, count, take);
        }
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
    Buffer values;
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
