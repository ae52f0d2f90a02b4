// Attention with sinks: some rows of one sequence over a stretch of the keys that they see, all heads together.
//
// The keys go by in blocks, each block in runs of neighbouring slots: first the products with all of its keys, and when
// its weights are known all of its values.
//
// Blocks begin at positions that are multiples of BLOCK; where one has room for a window, at any whole vector. Which sum a
// key goes into, and when, is thus a matter of its position alone, and one that is hidden from a row adds nothing to it,
// to the last bit: what comes out for a row depends neither on its neighbours nor on where a chunk begins.
#pragma once

#include <algorithm>

#include "cached.h"
#include "linear.h"
#include "rotary.h"

template <class Cached> struct Attention {
    const bf16 *q, *k, *v;   // rows of [heads, head_dim], [kv_heads, head_dim], not rotated
    long q_stride, k_stride, v_stride;
    const float *cos, *sin;  // [tokens, head_dim / 2]
    const float *sinks;      // [heads]
    Cached *keys, *values;   // the cache: [slots, kv_heads, head_dim]
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
    int threads(long window, size_t pieces, int most) const {
        return threads_for_pieces(pieces, 2 * visible(window) * heads * head_dim, most);
    }
    long count(long s) const { return starts[s + 1] - starts[s]; }
    long sequence_of(long row) const { return std::upper_bound(starts, starts + sequences + 1, row) - starts - 1; }
    long slot_size() const { return kv_heads * head_dim; }
};

constexpr long BLOCK = 160;         // Keys weighed together: of a window of 128 all that a few rows see.
constexpr long RUN_BYTES = 1 << 14; // Keys, or values, that stay in the first-level cache while all heads read them.
constexpr long ROWS_TOGETHER = 4;   // Rows of a chunk that read keys and values together.
constexpr long MOST_DIM = 512;

// Rows row … row + rows − 1, which stand at `position` and behind it, over the keys at from … to − 1.
struct Piece {
    long sequence, row, rows, position, from, to;
};

// Keys of neighbouring positions in neighbouring slots: that at `oldest` in the slot `first`.
struct Stretch {
    long first, oldest;
    long run(long position, long &slot) const {
        slot = first + position - oldest;
        return BLOCK;
    }
};

// Keys in a ring of `window` slots that begins at the slot `first`. Of a ring of 4, the keys at 2 … 5 are two runs: slots 2
// and 3, then 0 and 1.
struct Ring {
    long first, window;
    long run(long position, long &slot) const {
        slot = first + position % window;
        return window - position % window;
    }
};

// Keys by a sequence's table of pages.
struct Pages {
    const int32_t *table;
    long size;
    long slot(long position) const { return table[position / size] * size + position % size; }
    long run(long position, long &first) const {
        first = slot(position);
        return size - position % size;
    }
};

// For a piece's heads and rows [heads, rows]: the largest score, Σ e^(score − largest), and the values so weighted.
struct Weighted {
    std::vector<float> largest, total, mixed;

    void clear(long count, long head_dim) {
        largest.assign(count, -INFINITY), total.assign(count, 0.0f), mixed.assign(count * head_dim, 0.0f);
    }

    // What another stretch of keys brought.
    __attribute__((noinline)) void add(const Weighted &other, long head_dim) { // As with ONCE.
        for (size_t i = 0; i < largest.size(); i++) {
            float now = std::max(largest[i], other.largest[i]);
            float own = std::exp(largest[i] - now), others = std::exp(other.largest[i] - now);
            total[i] = total[i] * own + other.total[i] * others;
            for (long d = i * head_dim; d < long(i + 1) * head_dim; d++) mixed[d] = mixed[d] * own + other.mixed[d] * others;
            largest[i] = now;
        }
    }
};

// visit(first, rows) for a chunk's rows, some at a time.
template <class Visit> INLINE void each_few_rows(long count, const Visit &visit) {
    for (long first = 0; first < count; first += ROWS_TOGETHER) visit(first, std::min(ROWS_TOGETHER, count - first));
}

// The rotated key and the value of a row, for one kv head, into a slot of `keys` and `values`.
template <class Cached>
INLINE void write(const Attention<Cached> &op, long row, long kv_head, Cached *keys, Cached *values, long slot) {
    long dim = op.head_dim, half = row * dim / 2, at = slot * op.slot_size() + kv_head * dim;
    bf16 rotated[MOST_DIM];
    rotate(op.k + row * op.k_stride + kv_head * dim, op.cos + half, op.sin + half, dim, rotated);
    keep(rotated, dim, keys + at);
    keep(op.v + row * op.v_stride + kv_head * dim, dim, values + at);
}

// mixed[h] += Σ weights[h][key] · values[key], for H heads at a time.
template <int H>
INLINE void mix(const float *weights, const bf16 *values, long stride, long keys, long head_dim, float *mixed) {
    for (long d = 0; d < head_dim; d += 2 * LANES) {
        floats sums[H][2];
        for (int h = 0; h < H; h++)
            for (int i = 0; i < 2; i++) sums[h][i] = load<floats>(mixed + h * head_dim + d + i * LANES);
        for (long key = 0; key < keys; key++) {
            const bf16 *from = values + key * stride + d;
            floats first = widen(load<halves>(from)), second = widen(load<halves>(from + LANES));
            for (int h = 0; h < H; h++) {
                sums[h][0] += weights[h * BLOCK + key] * first;
                sums[h][1] += weights[h * BLOCK + key] * second;
            }
        }
        for (int h = 0; h < H; h++)
            for (int i = 0; i < 2; i++) store(mixed + h * head_dim + d + i * LANES, sums[h][i]);
    }
}

// Of a block's scores those from `from` to `to` − 1 → e^(score · scale − the largest so far), 0 outside of first … last − 1;
// gives how much what was mixed before shrinks.
ONCE float weigh(
    float *scores, long from, long to, long first, long last, float scale, float &largest, float &total) {
    const long begin = from / LANES * LANES, end = (to + LANES - 1) / LANES * LANES;
    std::fill(scores + begin, scores + std::clamp(first, begin, end), -INFINITY);
    std::fill(scores + std::clamp(last, begin, end), scores + end, -INFINITY);
    floats peaks = floats{} - INFINITY, sums = {};
    for (long key = begin; key < end; key += LANES) {
        floats others = load<floats>(scores + key) * scale;
        peaks = peaks > others ? peaks : others;
    }
    const float now = std::max(largest, largest_of(peaks));
    const floats hidden = floats{} - INFINITY;
    for (long key = begin; key < end; key += LANES) {
        floats score = load<floats>(scores + key), e = exponential(score * scale - now);
        e = score == hidden ? floats{} : e;
        store(scores + key, e);
        sums += e;
    }
    const float kept = largest == now || largest == -INFINITY ? 1.0f : exponential(floats{} + (largest - now))[0];
    total = total * kept + sum(sums);
    largest = now;
    return kept;
}

// visit(position, slot, count) for every run of the keys at from … to − 1, of `most` at most.
template <class Slots, class Visit>
INLINE void each_run(const Slots &slots, long from, long to, long most, const Visit &visit) {
    for (long slot, count; from < to; from += count) {
        count = std::min({slots.run(from, slot), most, to - from});
        visit(from, slot, count);
    }
}

template <class Cached, class Slots>
void attend(
    const Attention<Cached> &op, const Cached *keys, const Cached *values, const Slots &slots, long window,
    const Piece &piece, Weighted &weighted) {
    const long dim = op.head_dim, rows = piece.rows, size = op.slot_size(), all = op.heads * rows;
    const long together = all / op.kv_heads; // Rows of all query heads that share a kv head.
    const long run = std::max(16L, RUN_BYTES / long(size * sizeof(bf16)));
    static thread_local Activations q;
    static thread_local Buffer scratch;
    static thread_local std::vector<float> weight_store;
    static thread_local std::vector<bf16, Aligned<bf16>> run_store;
    q.resize<CachedRows>(all, dim);
    weight_store.resize(all * BLOCK);
    run_store.resize(run * size);
    float *const weights = weight_store.data();
    bf16 *const room = run_store.data();
    for (long i = 0; i < all; i++) {
        bf16 rotated[MOST_DIM];
        long row = piece.row + i % rows, half = row * dim / 2;
        rotate(op.q + row * op.q_stride + i / rows * dim, op.cos + half, op.sin + half, dim, rotated);
        put<CachedRows>(q.row(i), rotated, dim);
    }
    weighted.clear(all, dim);
    const float scale = 1.0f / std::sqrt(float(dim));
    const long grid = window + ROWS_TOGETHER + LANES <= BLOCK ? LANES : BLOCK;
    for (long block = piece.from / grid * grid; block < piece.to; block += BLOCK) {
        const long from = std::max(block, piece.from), to = std::min(block + BLOCK, piece.to);
        each_run(slots, from, to, run, [&](long position, long slot, long count) {
            const bf16 *brought = bring(keys + slot * size, count * size, room);
            for (long h = 0; h < op.kv_heads; h++)
                multiply(
                    CachedRows{brought + h * dim, dim, size}, 0, count, {q.all() + h * together, together}, scratch,
                    [&](long key, long neighbours, long t, const float *products) {
                        float *scores = weights + (h * together + t) * BLOCK + position - block + key;
                        std::memcpy(scores, products, neighbours * sizeof(float));
                    });
        });
        for (long i = 0; i < all; i++) {
            const long own = piece.position + i % rows - block, first = own - window + 1;
            float kept = weigh(
                weights + i * BLOCK, from - block, to - block, first, own + 1, scale, weighted.largest[i], weighted.total[i]);
            if (kept != 1.0f)
                for (long d = i * dim; d < (i + 1) * dim; d++) weighted.mixed[d] *= kept;
        }
        each_run(slots, from, to, run, [&](long position, long slot, long count) {
            const bf16 *brought = bring(values + slot * size, count * size, room);
            for (long h = 0; h < op.kv_heads; h++) {
                const bf16 *v = brought + h * dim;
                const float *own = weights + position - block;
                long i = h * together, end = i + together;
                for (; i + 4 <= end; i += 4) mix<4>(own + i * BLOCK, v, size, count, dim, &weighted.mixed[i * dim]);
                for (; i < end; i++) mix<1>(own + i * BLOCK, v, size, count, dim, &weighted.mixed[i * dim]);
            }
        });
    }
}

// The sink joins the weights, and the rows are done.
template <class Cached> INLINE void finish(const Attention<Cached> &op, const Piece &piece, const Weighted &weighted) {
    for (long i = 0; i < op.heads * piece.rows; i++) {
        long head = i / piece.rows, row = piece.row + i % piece.rows;
        float sink = op.sinks[head], most = std::max(weighted.largest[i], sink);
        float kept = std::exp(weighted.largest[i] - most);
        float factor = kept / (weighted.total[i] * kept + std::exp(sink - most));
        bf16 *out = op.out + (row * op.heads + head) * op.head_dim;
        for (long d = 0; d < op.head_dim; d += LANES)
            store(out + d, narrow(load<floats>(&weighted.mixed[i * op.head_dim + d]) * factor));
    }
}
