// The experts: each chosen expert's rows are read once for all its tokens, by whichever threads are free.
#pragma once

#include <algorithm>
#include <omp.h>

#include "linear.h"

struct Experts {
    const bf16 *x;          // [tokens, hidden]
    const int64_t *chosen;  // [tokens, k]
    const bf16 *weights;    // [tokens, k]
    const bf16 *up_bias;    // [experts, 2 · inner]
    const bf16 *down_bias;  // [experts, hidden]
    float alpha, limit;
    const bf16 *residual;   // [tokens, hidden]
    bf16 *out;              // [tokens, hidden]
    long tokens, hidden, inner, experts, k;
};

// Choices sorted by expert: of expert e the places starts[e] … starts[e + 1] − 1 of `order`, in the order of tokens.
struct Sorted {
    std::vector<long> order, starts, place;

    long count(long expert) const { return starts[expert + 1] - starts[expert]; }

    void sort(const int64_t *chosen, long count, long experts) {
        order.resize(count), place.resize(count), starts.assign(experts + 1, 0);
        for (long i = 0; i < count; i++) starts[chosen[i] + 1]++;
        for (long e = 0; e < experts; e++) starts[e + 1] += starts[e];
        std::vector<long> next(starts.begin(), starts.end() - 1);
        for (long i = 0; i < count; i++) {
            place[i] = next[chosen[i]]++;
            order[place[i]] = i;
        }
    }
};

// A share of the work: some rows of one expert.
struct Share {
    long expert, first, last;
};

// An expert of few tokens waits for memory, one of many for the multipliers: so that some threads are at the one while
// others are at the other, shares are taken from both ends in turn. Where all are alike, in the order of memory; this is
// what it returns.
//
//     experts of 1, 2, 3 and 4 tokens, a share each  →  1 4 2 3
inline bool share_out(const Sorted &sorted, long experts, long rows, int threads, std::vector<Share> &shares) {
    std::vector<long> touched;
    for (long e = 0; e < experts; e++)
        if (sorted.count(e) > 0) touched.push_back(e);
    std::stable_sort(touched.begin(), touched.end(), [&](long a, long b) { return sorted.count(a) < sorted.count(b); });
    const long size = rows_at_once(long(touched.size()) * rows, threads);
    std::vector<Share> by_count;
    for (long e : touched)
        for (long first = 0; first < rows; first += size) by_count.push_back({e, first, std::min(first + size, rows)});
    shares = by_count;
    if (touched.empty() || sorted.count(touched.front()) == sorted.count(touched.back())) return true;
    for (size_t i = 0; i < shares.size(); i++) shares[i] = by_count[i % 2 ? by_count.size() - 1 - i / 2 : i / 2];
    return false;
}

// Pairs of gate and up, without bias → half as many, in their places among the activations of the next product.
template <class Rows>
INLINE void swiglu(
    const float *products, const bf16 *bias, long first, long last, float alpha, float limit, Activation *out,
    long columns) {
    const floats most = floats{} + limit;
    for (long i = first; i < last; i += 2 * LANES, products += 2 * LANES) {
        float pairs[2 * LANES];
        for (long half = 0; half < 2 * LANES; half += LANES)
            store(pairs + half, load<floats>(products + half) + widen(load<halves>(bias + i + half)));
        pairs_of_words both = load<pairs_of_words>(pairs);
        floats gate = (floats)__builtin_convertvector(both, words), up = (floats)__builtin_convertvector(both >> 32, words);
        gate = gate > most ? most : gate; // What is no number stays none.
        up = up > most ? most : up < -most ? -most : up;
        Rows::put(out, i / 2, columns, narrow((up + 1.0f) * gate / (1.0f + exponential(-alpha * gate))));
    }
}

// `up(expert)` and `down(expert)` give an expert's rows. A token's experts are added in the order of their ids.
template <class Up, class Down> void mix_experts(const Up &up, const Down &down, const Experts &op, int threads) {
    using Rows = decltype(up(0));
    long choices = op.tokens * op.k;
    threads = threads_for(choices * 3 * op.hidden * op.inner, threads);
    static thread_local Activations x_store, hidden_store;
    static thread_local Sorted sorted_store;
    static thread_local std::vector<Share> up_store, down_store;
    static thread_local std::vector<float> product_store;
    static thread_local std::vector<const Activation *> rows_store;
    static thread_local Batches up_batches_store, down_batches_store;
    Activations &x = x_store, &hidden = hidden_store;
    Sorted &sorted = sorted_store;
    std::vector<Share> &up_shares = up_store, &down_shares = down_store;
    std::vector<float> &products = product_store;
    std::vector<const Activation *> &rows_of = rows_store;
    Batches &up_batches = up_batches_store, &down_batches = down_batches_store;
    x.resize<Rows>(op.tokens, op.hidden);
    hidden.resize<Rows>(choices, op.inner);
    sorted.sort(op.chosen, choices, op.experts);
    const bool alike = share_out(sorted, op.experts, 2 * op.inner, threads, up_shares);
    share_out(sorted, op.experts, op.hidden, threads, down_shares);
    omp_set_schedule(alike ? omp_sched_guided : omp_sched_dynamic, 1); // See `linear`.
    if (long(products.size()) < choices * op.hidden) products.resize(choices * op.hidden);
    rows_of.resize(choices);
    for (long p = 0; p < choices; p++) rows_of[p] = x.row(sorted.order[p] / op.k);
    up_batches.arrange<Rows>(rows_of.data(), sorted.starts, op.hidden);
    down_batches.arrange<Rows>(hidden.all(), sorted.starts, op.inner);
    const int few = threads_for_tokens(op.tokens, threads);
#pragma omp parallel for schedule(static) num_threads(few) if (few > 1)
    for (long t = 0; t < op.tokens; t++) put<Rows>(x.row(t), op.x + t * op.hidden, op.hidden);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        static thread_local Buffer scratch;
        static thread_local std::vector<float> pairs;
        up_batches.pack();
#pragma omp for schedule(runtime)
        for (size_t i = 0; i < up_shares.size(); i++) {
            const Share share = up_shares[i];
            long start = sorted.starts[share.expert], count = sorted.count(share.expert);
            long rows = share.last - share.first;
            pairs.resize(count * rows);
            float *const to = pairs.data(); // Not by the thread's own name for it, which has to be looked up.
            multiply(
                up(share.expert), share.first, share.last, up_batches[share.expert], scratch,
                [&](long row, long neighbours, long token, const float *values) {
                    std::memcpy(to + token * rows + row - share.first, values, neighbours * sizeof(float));
                });
            for (long token = 0; token < count; token++)
                swiglu<Rows>(
                    to + token * rows, op.up_bias + share.expert * 2 * op.inner, share.first, share.last, op.alpha,
                    op.limit, hidden.row(start + token), op.inner);
        }
        down_batches.pack();
#pragma omp for schedule(runtime)
        for (size_t i = 0; i < down_shares.size(); i++) {
            const Share share = down_shares[i];
            long start = sorted.starts[share.expert];
            float *const out = products.data() + start * op.hidden;
            multiply(
                down(share.expert), share.first, share.last, down_batches[share.expert], scratch,
                [&](long row, long neighbours, long token, const float *values) {
                    std::memcpy(out + token * op.hidden + row, values, neighbours * sizeof(float));
                });
        }
    }
#pragma omp parallel for schedule(static) num_threads(few) if (few > 1)
    for (long t = 0; t < op.tokens; t++) {
        long places[256];
        const long *place = sorted.place.data() + t * op.k;
        std::copy(place, place + op.k, places);
        std::sort(places, places + op.k);
        for (long h = 0; h < op.hidden; h += LANES) {
            floats mixed = {};
            for (long i = 0; i < op.k; i++) {
                long choice = sorted.order[places[i]];
                floats bias = widen(load<halves>(op.down_bias + op.chosen[choice] * op.hidden + h));
                mixed += (load<floats>(&products[places[i] * op.hidden + h]) + bias) * to_float(op.weights[choice]);
            }
            long at = t * op.hidden + h;
            store(op.out + at, narrow(widen(load<halves>(op.residual + at)) + widen(narrow(mixed))));
        }
    }
}
