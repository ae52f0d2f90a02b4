// The router: norm, a small linear map, the k largest, softmax over those.
#pragma once

#include <algorithm>

#include "linear.h"

struct Router {
    const bf16 *x;      // [tokens, columns]
    const float *norm;  // [columns]
    float eps;
    const bf16 *weight; // [experts, columns]
    const bf16 *bias;   // [experts]
    bf16 *normed;       // [tokens, columns]
    int64_t *chosen;    // [tokens, k]
    bf16 *weights;      // [tokens, k]
    long tokens, columns, experts, k;
};

// The k largest of the logits, the first of equal ones first, and their softmax. An infinite one leaves no weight a number.
INLINE void choose(float *logits, long experts, long k, int64_t *chosen, bf16 *weights) {
    float best[256], total = 0;
    for (long i = 0; i < k; i++) {
        long at = std::max_element(logits, logits + experts) - logits;
        chosen[i] = at;
        best[i] = logits[at];
        logits[at] = -INFINITY;
    }
    for (long i = 0; i < k; i++) total += std::exp(best[i] - best[0]);
    for (long i = 0; i < k; i++) weights[i] = to_bf16(std::exp(best[i] - best[0]) / total);
}

inline void route(const Router &op, int threads) {
    Bf16Rows matrix{op.weight, op.columns, op.columns};
    threads = threads_for_pieces(op.tokens, op.tokens * op.experts * op.columns, threads);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        static thread_local Activations packed;
        static thread_local Buffer scratch;
        std::vector<float> logits(op.experts);
        packed.resize<Bf16Rows>(1, op.columns);
#pragma omp for schedule(static)
        for (long t = 0; t < op.tokens; t++) {
            bf16 *normed = op.normed + t * op.columns;
            rms_norm(op.x + t * op.columns, op.norm, op.eps, op.columns, normed);
            put<Bf16Rows>(packed.row(0), normed, op.columns);
            multiply(
                matrix, 0, op.experts, {packed.all(), 1}, scratch,
                [&](long row, long count, long, const float *values) {
                    for (long i = 0; i < count; i++) {
                        const float logit = values[i] + to_float(op.bias[row + i]);
                        logits[row + i] = logit == logit ? logit : INFINITY; // What is no number is chosen, and so shows.
                    }
                });
            choose(logits.data(), op.experts, op.k, op.chosen + t * op.k, op.weights + t * op.k);
        }
    }
}
