// Attention over rings.
//
// A decoding sequence's key takes the oldest's place first, and all of the ring is visible then; it is read by position. A chunk of several tokens
// must not turn the ring before its queries have read it: they read a copy of what they see, the ring as it was and the
// fresh keys behind it.
#pragma once

#include "attention.h"

// Of a chunk of several tokens: slots of the copy, the ring as it was in front of the fresh keys.
struct Copy {
    long first, past;
};

template <class Cached>
void ring_attention(const Attention<Cached> &op, const int32_t *rings, long window, int threads) {
    static thread_local std::vector<Copy> copy_store;
    static thread_local std::vector<Cached> key_store, value_store;
    static thread_local std::vector<Piece> piece_store;
    std::vector<Copy> &copies = copy_store;
    std::vector<Piece> &pieces = piece_store;
    copies.clear(), pieces.clear();
    long slots = 0, rows = op.starts[op.sequences];
    for (long s = 0; s < op.sequences; s++) {
        const long row = op.starts[s], count = op.count(s), context = op.contexts[s];
        if (count == 1) {
            copies.push_back({slots, 0});
            pieces.push_back({s, row, 1, context, std::max(0L, context + 1 - window), context + 1});
            continue;
        }
        const long past = std::min(context, window - 1);
        copies.push_back({slots, past});
        slots += past + count;
        each_few_rows(count, [&](long first, long together) {
            const long position = context + first;
            pieces.push_back({s, row + first, together, position, std::max(0L, position - window + 1), position + together});
        });
    }
    threads = op.threads(window, pieces.size(), threads);
    key_store.resize(slots * op.slot_size()), value_store.resize(slots * op.slot_size());
    Cached *keys = key_store.data(), *values = value_store.data();
    auto move = [&](Cached *to, const Cached *from, long to_slot, long from_slot) {
        std::memcpy(to + to_slot * op.slot_size(), from + from_slot * op.slot_size(), op.slot_size() * sizeof(Cached));
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
#pragma omp for schedule(dynamic)
        for (size_t i = 0; i < pieces.size(); i++) {
            static thread_local Weighted weighted;
            const Piece &piece = pieces[i];
            const long s = piece.sequence, first = rings[s] * window;
            if (op.count(s) == 1) {
                for (long h = 0; h < op.kv_heads; h++)
                    write(op, piece.row, h, op.keys, op.values, first + op.contexts[s] % window);
                attend(op, op.keys, op.values, Ring{first, window}, window, piece, weighted);
            } else {
                const Stretch copied{copies[s].first, op.contexts[s] - copies[s].past};
                attend(op, keys, values, copied, window, piece, weighted);
            }
            finish(op, piece, weighted);
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
