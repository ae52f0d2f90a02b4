// Attention over rings and pages with sinks: RoPE, the new keys and values into the caches, every key that is visible.
//
// A query's visible keys lie in runs of neighbouring slots. A decoding sequence's key takes its place in the cache first:
// of a ring, that is the oldest's, and all of the ring is visible then. A chunk of several tokens must not turn the ring
// before its queries have read it: they read a copy of what they see, the ring as it was and the fresh keys behind it.
#pragma once

#include <algorithm>
#include <limits>

#include "linear.h"
#include "rotary.h"

struct Attention {
    const bf16 *q, *k, *v;   // rows of [heads, head_dim], [kv_heads, head_dim], not rotated
    long q_stride, k_stride, v_stride;
    const float *cos, *sin;  // [tokens, head_dim / 2]
    const float *sinks;      // [heads]
    bf16 *keys, *values;     // the cache: [slots, kv_heads, head_dim]
    bf16 *out;               // [tokens, heads, head_dim]
    long heads, kv_heads, head_dim;
    const int32_t *starts;   // [sequences + 1]: the rows of each
    const int32_t *contexts; // [sequences]: tokens of each in the cache
    long sequences;

    // Keys that the rows of all sequences see, each at most `window`.
    long visible(long window) const {
        long keys = 0;
        for (long s = 0; s < sequences; s++) keys += count(s) * std::min<long>(contexts[s] + count(s), window);
        return keys;
    }
    int threads(long window, int most) const { return threads_for(2 * visible(window) * heads * head_dim, most); }
    long count(long s) const { return starts[s + 1] - starts[s]; }
    long sequence_of(long row) const { return std::upper_bound(starts, starts + sequences + 1, row) - starts - 1; }
    long position(long row) const {
        long s = sequence_of(row);
        return contexts[s] + row - starts[s];
    }
    long slot_size() const { return kv_heads * head_dim; }
};

// Slots first … first + visible − 1.
struct Span {
    long first, visible;
    long run(long from, long &slot) const {
        slot = first + from;
        return visible - from;
    }
};

// Positions 0 … visible − 1 of a sequence, by its table of pages.
struct Pages {
    const int32_t *table;
    long size, visible;
    long slot(long at) const { return table[at / size] * size + at % size; }
    long run(long from, long &first) const {
        first = slot(from);
        return std::min(size - from % size, visible - from);
    }
};

constexpr long KEYS_AT_ONCE = 128;
constexpr long MOST_HEADS = 64; // Query heads that share a kv head, at most.
constexpr long MOST_DIM = 512;

// The rotated key and the value of a row, for one kv head, into a slot of `keys` and `values`.
INLINE void write(const Attention &op, long row, long kv_head, bf16 *keys, bf16 *values, long slot) {
    long dim = op.head_dim, half = row * dim / 2, at = slot * op.slot_size() + kv_head * dim;
    rotate(op.k + row * op.k_stride + kv_head * dim, op.cos + half, op.sin + half, dim, keys + at);
    std::memcpy(values + at, op.v + row * op.v_stride + kv_head * dim, dim * sizeof(bf16));
}

// mixed[h] += Σ weights[h][key] · values[key], for H heads at a time.
template <int H>
INLINE void mix(const float *weights, const bf16 *values, long stride, long keys, long head_dim, float *mixed) {
    for (long d = 0; d < head_dim; d += LANES) {
        floats sums[H];
        for (int h = 0; h < H; h++) sums[h] = load<floats>(mixed + h * head_dim + d);
        for (long key = 0; key < keys; key++) {
            floats v = widen(load<halves>(values + key * stride + d));
            for (int h = 0; h < H; h++) sums[h] += weights[h * KEYS_AT_ONCE + key] * v;
        }
        for (int h = 0; h < H; h++) store(mixed + h * head_dim + d, sums[h]);
    }
}

// Scores → e^(score − the largest so far), and how much what was mixed before shrinks.
INLINE float weigh(float *scores, long keys, float &largest, float &total) {
    for (long key = keys; key % LANES; key++) scores[key] = -INFINITY;
    floats peaks = load<floats>(scores), sums = {};
    for (long key = LANES; key < keys; key += LANES) {
        floats others = load<floats>(scores + key);
        peaks = peaks > others ? peaks : others;
    }
    float now = largest;
    for (long lane = 0; lane < LANES; lane++) now = std::max(now, peaks[lane]);
    for (long key = 0; key < keys; key += LANES) {
        floats e = exponential(load<floats>(scores + key) - now);
        store(scores + key, e);
        sums += e;
    }
    float kept = std::exp(largest - now);
    total = total * kept + sum(sums);
    largest = now;
    return kept;
}

// Asks for a head's part of the next slots.
template <class Visible>
INLINE void ask_for_slots(const bf16 *cache, const Visible &visible, long from, long stride, long dim) {
    const long last = std::min(from + KEYS_AT_ONCE, visible.visible);
    for (long slot, count; from < last; from += count) {
        count = std::min(visible.run(from, slot), last - from);
        for (long i = slot; i < slot + count; i++)
            for (long d = 0; d < dim; d += 32) ask_for(cache + i * stride + d);
    }
}

// One row's query heads of one kv head, over blocks of keys; the sink joins at the end.
template <class Visible>
void attend(const Attention &op, const bf16 *keys, const bf16 *values, const Visible &visible, long row, long kv_head) {
    const long dim = op.head_dim, group = op.heads / op.kv_heads, stride = op.slot_size(), half = row * dim / 2;
    static thread_local Activations q;
    static thread_local Buffer scratch;
    static thread_local std::vector<float> mixed_store, weight_store;
    bf16 rotated[MOST_DIM];
    q.resize<Bf16Rows>(group, dim);
    mixed_store.assign(group * dim, 0.0f);
    weight_store.resize(group * KEYS_AT_ONCE);
    float *const mixed = mixed_store.data(), *const weights = weight_store.data();
    for (long h = 0; h < group; h++) {
        rotate(op.q + row * op.q_stride + (kv_head * group + h) * dim, op.cos + half, op.sin + half, dim, rotated);
        put<Bf16Rows>(q.row(h), rotated, dim);
    }
    float largest[MOST_HEADS], total[MOST_HEADS];
    std::fill_n(largest, group, -INFINITY);
    std::fill_n(total, group, 0.0f);
    const float scale = 1.0f / std::sqrt(float(dim));
    for (long from = 0; from < visible.visible; from += KEYS_AT_ONCE) {
        const long block = std::min(KEYS_AT_ONCE, visible.visible - from);
        ask_for_slots(values + kv_head * dim, visible, from, stride, dim);
        ask_for_slots(keys + kv_head * dim, visible, from + KEYS_AT_ONCE, stride, dim);
        for (long done = 0, slot, count; done < block; done += count) {
            count = std::min(visible.run(from + done, slot), block - done);
            multiply(
                Bf16Rows{keys + slot * stride + kv_head * dim, dim, stride}, 0, count, q.all(), group, scratch,
                [&](long key, long neighbours, long head, const float *products) {
                    float *to = weights + head * KEYS_AT_ONCE + done + key;
                    for (long i = 0; i < neighbours; i++) to[i] = products[i] * scale;
                });
        }
        for (long h = 0; h < group; h++) {
            float kept = weigh(&weights[h * KEYS_AT_ONCE], block, largest[h], total[h]);
            for (long d = 0; d < dim; d++) mixed[h * dim + d] *= kept;
        }
        for (long done = 0, slot, count; done < block; done += count) {
            count = std::min(visible.run(from + done, slot), block - done);
            const bf16 *v = values + slot * stride + kv_head * dim;
            long h = 0;
            for (; h + 4 <= group; h += 4) mix<4>(&weights[h * KEYS_AT_ONCE + done], v, stride, count, dim, &mixed[h * dim]);
            for (; h < group; h++) mix<1>(&weights[h * KEYS_AT_ONCE + done], v, stride, count, dim, &mixed[h * dim]);
        }
    }
    for (long h = 0; h < group; h++) {
        float sink = op.sinks[kv_head * group + h], most = std::max(largest[h], sink), kept = std::exp(largest[h] - most);
        float factor = kept / (total[h] * kept + std::exp(sink - most));
        bf16 *out = op.out + (row * op.heads + kv_head * group + h) * dim;
        for (long d = 0; d < dim; d += LANES) store(out + d, narrow(load<floats>(&mixed[h * dim + d]) * factor));
    }
}

inline void paged_attention(const Attention &op, const int32_t *tables, long most_pages, long page_size, int threads) {
    long rows = op.starts[op.sequences];
    auto pages = [=](long s, long visible) { return Pages{tables + s * most_pages, page_size, visible}; };
    threads = op.threads(std::numeric_limits<long>::max(), threads);
    const bool chunks = rows > op.sequences; // Else a row needs no other's key: each head writes its own.
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        if (chunks)
#pragma omp for schedule(static)
            for (long row = 0; row < rows; row++)
                for (long h = 0; h < op.kv_heads; h++) {
                    long position = op.position(row);
                    write(op, row, h, op.keys, op.values, pages(op.sequence_of(row), position + 1).slot(position));
                }
#pragma omp for schedule(dynamic) collapse(2)
        for (long row = 0; row < rows; row++)
            for (long h = 0; h < op.kv_heads; h++) {
                long position = op.position(row);
                Pages visible = pages(op.sequence_of(row), position + 1);
                if (!chunks) write(op, row, h, op.keys, op.values, visible.slot(position));
                attend(op, op.keys, op.values, visible, row, h);
            }
    }
}

// Of a chunk of several tokens: slots of the copy, the ring as it was in front of the fresh keys.
struct Copy {
    long first, past;
};

inline void ring_attention(const Attention &op, const int32_t *rings, long window, int threads) {
    static thread_local std::vector<Copy> copy_store;
    static thread_local std::vector<bf16> key_store, value_store;
    std::vector<Copy> &copies = copy_store;
    threads = op.threads(window, threads);
    copies.clear();
    long slots = 0, rows = op.starts[op.sequences];
    for (long s = 0; s < op.sequences; s++) {
        long past = op.count(s) == 1 ? 0 : std::min<long>(op.contexts[s], window - 1);
        copies.push_back({slots, past});
        slots += op.count(s) == 1 ? 0 : past + op.count(s);
    }
    key_store.resize(slots * op.slot_size()), value_store.resize(slots * op.slot_size());
    bf16 *keys = key_store.data(), *values = value_store.data();
    auto move = [&](bf16 *to, const bf16 *from, long to_slot, long from_slot) {
        std::memcpy(to + to_slot * op.slot_size(), from + from_slot * op.slot_size(), op.slot_size() * sizeof(bf16));
    };
    const bool chunks = slots > 0;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        if (chunks)
#pragma omp for schedule(static)
            for (long row = 0; row < rows; row++) {
                long s = op.sequence_of(row), at = copies[s].first + copies[s].past + row - op.starts[s];
                if (op.count(s) > 1)
                    for (long h = 0; h < op.kv_heads; h++) write(op, row, h, keys, values, at);
            }
        if (chunks)
#pragma omp for schedule(static)
            for (long s = 0; s < op.sequences; s++)
                for (long i = 0; i < copies[s].past; i++) {
                    long slot = rings[s] * window + (op.contexts[s] - copies[s].past + i) % window;
                    move(keys, op.keys, copies[s].first + i, slot);
                    move(values, op.values, copies[s].first + i, slot);
                }
#pragma omp for schedule(dynamic) collapse(2)
        for (long row = 0; row < rows; row++)
            for (long h = 0; h < op.kv_heads; h++) {
                long s = op.sequence_of(row), at = copies[s].past + row - op.starts[s], first = rings[s] * window;
                if (op.count(s) == 1) {
                    write(op, row, h, op.keys, op.values, first + op.contexts[s] % window);
                    attend(op, op.keys, op.values, Span{first, std::min<long>(op.contexts[s] + 1, window)}, row, h);
                } else {
                    long oldest = std::max(0L, at - window + 1);
                    attend(op, keys, values, Span{copies[s].first + oldest, at - oldest + 1}, row, h);
                }
            }
        if (chunks)
#pragma omp for schedule(static)
            for (long s = 0; s < op.sequences; s++)
                for (long i = op.count(s) == 1 ? 1 : std::max(0L, op.count(s) - window); i < op.count(s); i++) {
                    long slot = rings[s] * window + (op.contexts[s] + i) % window;
                    long from = copies[s].first + copies[s].past + i;
                    move(op.keys, keys, slot, from);
                    move(op.values, values, slot, from);
                }
    }
}
