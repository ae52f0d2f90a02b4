// The product that all others are made of: some rows of a matrix times some rows of activations.
#pragma once

#include <algorithm>
#include <new>
#include <vector>

#if defined(__AMX_BF16__)
#include "tiles.h"
#elif defined(__AVX512BF16__)
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

constexpr long GROUP = 32; // Rows whose products are handed on together; they stay in the second-level cache meanwhile.

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

// The same for any number of activations, as evenly as can be: 9 as 5 and 4.
template <class Rows, class Take>
void group_times_all(
    const Rows &rows, long first, long last, const Activation *const *x, long tokens, const Take &take) {
    const long parts = (tokens + TOKENS - 1) / TOKENS;
    for (long part = 0; part < parts; part++) {
        const long token = part * tokens / parts;
        group_times_up_to(rows, first, last, x, token, (part + 1) * tokens / parts - token, take);
    }
}

// Rows first … last − 1 times x[0 … tokens − 1]; `take(row, count, token, values)` gets the products of neighbouring rows.
template <class Rows, class Take>
void multiply(
    const Rows &rows, long first, long last, const Activation *const *x, long tokens, [[maybe_unused]] Buffer &scratch,
    const Take &take) {
#if defined(__AMX_BF16__)
    if constexpr (Rows::TILED) return multiply_tiles(rows, first, last, x, tokens, scratch, take);
#elif !defined(__AVX512BF16__)
    if (tokens > TOKENS) {
        const long padded = Rows::padded(rows.columns);
        scratch.resize(UNPACKED * padded);
        for (long row = first; row < last; row += UNPACKED) {
            const long count = std::min(UNPACKED, last - row);
            for (long r = 0; r < count; r++) rows.unpack(row + r, scratch.data() + r * padded);
            group_times_all(
                UnpackedRows{scratch.data(), padded, padded}, 0, count, x, tokens,
                [&](long, long neighbours, long token, float *values) {
                    for (long r = 0; r < neighbours; r++) values[r] *= rows.scale(row + r);
                    take(row, neighbours, token, values);
                });
        }
        return;
    }
#endif
    for (long row = first; row < last; row += GROUP)
        group_times_all(rows, row, std::min(row + GROUP, last), x, tokens, take);
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
    for (long k = 0; k < columns; k += LANES) Rows::put(to, k, load<halves>(from + k));
}
