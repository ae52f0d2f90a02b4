// RMSNorm, linear, residual: any of them around a matrix of bf16 or e4m3.
#pragma once

#include <algorithm>

#include "multiply.h"

// x / sqrt(mean(x²) + eps) · weight, in bf16. `weight` float32 [columns].
INLINE void rms_norm(const bf16 *x, const float *weight, float eps, long columns, bf16 *out) {
    floats squares = {};
    long k = 0;
    for (; k + LANES <= columns; k += LANES) {
        floats v = widen(load<halves>(x + k));
        squares += v * v;
    }
    float total = sum(squares);
    for (; k < columns; k++) total += to_float(x[k]) * to_float(x[k]);
    float scale = 1.0f / std::sqrt(total / columns + eps);
    for (k = 0; k + LANES <= columns; k += LANES)
        store(out + k, narrow(load<floats>(weight + k) * (widen(load<halves>(x + k)) * scale)));
    for (; k < columns; k++) out[k] = to_bf16(weight[k] * (to_float(x[k]) * scale));
}

struct Linear {
    const bf16 *x;       // [tokens, columns]
    const float *norm;   // [columns], or none
    float eps;
    const bf16 *bias;     // [rows], or none
    const bf16 *residual; // [tokens, rows], or none
    bf16 *out;            // [tokens, rows]
    long tokens, rows, columns;
};

// Where some can do 2^18 multiplications each, 15 µs of work, all threads; else one: waiting for one that another program
// keeps off its core takes milliseconds. Never a few of them: OpenMP's runtime ends those that a smaller team has no use
// for, and makes them anew for the next larger one.
INLINE int threads_for(long multiplications, int threads) { return multiplications >> 19 ? threads : 1; }

// The same where the work is in so many pieces that no two threads can be at one.
INLINE int threads_for_pieces(long pieces, long multiplications, int threads) {
    return pieces < 2 ? 1 : threads_for(multiplications, threads);
}

// The same for the little that is done with each token.
INLINE int threads_for_tokens(long tokens, int threads) { return tokens <= 16 ? 1 : threads; }

// Rows that a thread takes at a time: many, for memory is slow at the first of them; few enough to share them evenly.
INLINE long rows_at_once(long rows, int threads) {
    long share = rows / (8 * threads) / 64 * 64;
    return std::max(64L, std::min(512L, share));
}

template <class Rows> void linear(const Rows &matrix, const Linear &op, int threads) {
    static thread_local Activations rows_store;
    static thread_local Batches batches_store;
    static thread_local std::vector<long> starts;
    Activations &x = rows_store;
    Batches &batches = batches_store;
    x.resize<Rows>(op.tokens, op.columns);
    starts.assign({0, op.tokens});
    batches.arrange<Rows>(x.all(), starts, op.columns);
    threads = threads_for(op.tokens * op.rows * op.columns, threads);
    const long size = rows_at_once(op.rows, threads);
    const int few = threads_for_tokens(op.tokens, threads);
#pragma omp parallel for schedule(static) num_threads(few) if (few > 1)
    for (long t = 0; t < op.tokens; t++) {
        static thread_local std::vector<bf16> normed;
        const bf16 *from = op.x + t * op.columns;
        if (op.norm) {
            normed.resize(op.columns);
            rms_norm(from, op.norm, op.eps, op.columns, normed.data());
            from = normed.data();
        }
        put<Rows>(x.row(t), from, op.columns);
    }
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        static thread_local Buffer scratch;
        batches.pack();
        // A thread that stays with neighbouring rows has asked for the next before it comes to them.
#pragma omp for schedule(guided)
        for (long first = 0; first < op.rows; first += size)
            multiply(
                matrix, first, std::min(first + size, op.rows), batches[0], scratch,
                [&](long row, long count, long token, const float *values) {
                    for (long i = 0, at = token * op.rows + row; i < count; i++, at++) {
                        float y = values[i] + (op.bias ? to_float(op.bias[row + i]) : 0.0f);
                        op.out[at] = to_bf16(op.residual ? to_float(op.residual[at]) + to_float(to_bf16(y)) : y);
                    }
                });
    }
}
