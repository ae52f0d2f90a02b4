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

// Rows that a thread takes at a time: many, for the first few of them are not asked for ahead; few enough to share them
// evenly.
INLINE long rows_at_once(long rows, int threads) {
    long share = rows / (8 * threads) / 64 * 64;
    return std::max(64L, std::min(512L, share));
}

template <class Rows> void linear(const Rows &matrix, const Linear &op, int threads) {
    static thread_local Activations packed;
    packed.resize<Rows>(op.tokens, op.columns);
    Activations &x = packed;
    const long size = rows_at_once(op.rows, threads);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        std::vector<bf16> normed(op.columns);
        static thread_local std::vector<Activation> scratch;
#pragma omp for schedule(static)
        for (long t = 0; t < op.tokens; t++) {
            const bf16 *from = op.x + t * op.columns;
            if (op.norm) rms_norm(from, op.norm, op.eps, op.columns, normed.data());
            put<Rows>(x.row(t), op.norm ? normed.data() : from, op.columns);
        }
#pragma omp for schedule(dynamic)
        for (long first = 0; first < op.rows; first += size)
            multiply(
                matrix, first, std::min(first + size, op.rows), x.all(), op.tokens, scratch,
                [&](long row, int count, long token, const float *values) {
                    for (int r = 0; r < count; r++) {
                        long at = token * op.rows + row + r;
                        float y = values[r] + (op.bias ? to_float(op.bias[row + r]) : 0.0f);
                        op.out[at] = to_bf16(op.residual ? to_float(op.residual[at]) + to_float(to_bf16(y)) : y);
                    }
                });
    }
}
