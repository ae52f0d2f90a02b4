// Attention over pages. All new keys are written first. They are read in parts, which are then combined: a decoding row's
// by whichever threads are free, a chunk's one after the other.
#pragma once

#include <climits>

#include "attention.h"

constexpr long PART = 7 * BLOCK;     // Keys: by their place alone, so that no batch changes how a row's sums are made.
constexpr long EVERY = LONG_MAX / 2; // Nothing slides out of a full layer's window.

// A chunk's rows some at a time over all their keys, a decoding row over each part of its keys.
template <class Cached> INLINE void cut_up(const Attention<Cached> &op, std::vector<Piece> &pieces) {
    pieces.clear();
    for (long s = 0; s < op.sequences; s++) {
        const long row = op.starts[s], count = op.count(s), keys = op.contexts[s] + count;
        if (count == 1)
            for (long from = 0; from < keys; from += PART)
                pieces.push_back({s, row, 1, op.contexts[s], from, std::min(from + PART, keys)});
        else
            each_few_rows(count, [&](long first, long rows) {
                const long position = op.contexts[s] + first;
                pieces.push_back({s, row + first, rows, position, 0, position + rows});
            });
    }
}

// One part after the other; `weighted` has them all.
template <class Cached>
void attend_parts(const Attention<Cached> &op, const Pages &pages, const Piece &piece, Weighted &weighted) {
    static thread_local Weighted next;
    for (long from = piece.from; from < piece.to; from += PART) {
        Piece part = piece;
        part.from = from, part.to = std::min(from + PART, piece.to);
        attend(op, op.keys, op.values, pages, EVERY, part, from == piece.from ? weighted : next);
        if (from > piece.from) weighted.add(next, op.head_dim);
    }
}

template <class Cached>
void paged_attention(
    const Attention<Cached> &op, const int32_t *tables, long most_pages, long page_size, int threads) {
    static thread_local std::vector<Piece> piece_store;
    static thread_local std::vector<Weighted> part_store;
    std::vector<Piece> &pieces = piece_store;
    std::vector<Weighted> &parts = part_store; // Of the pieces that are parts; the others' are done with at once.
    cut_up(op, pieces);
    if (parts.size() < pieces.size()) parts.resize(pieces.size());
    auto pages = [&](long s) { return Pages{tables + s * most_pages, page_size}; };
    auto ends = [&](const Piece &piece) { return op.count(piece.sequence) > 1 || piece.to > op.contexts[piece.sequence]; };
    auto is_part = [&](const Piece &piece) { return piece.from > 0 || !ends(piece); };
    threads = op.threads(EVERY, pieces.size(), threads);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
#pragma omp for schedule(static)
        for (long row = 0; row < op.starts[op.sequences]; row++) {
            const long s = op.sequence_of(row), slot = pages(s).slot(op.contexts[s] + row - op.starts[s]);
            for (long h = 0; h < op.kv_heads; h++) write(op, row, h, op.keys, op.values, slot);
        }
#pragma omp for schedule(dynamic)
        for (size_t i = 0; i < pieces.size(); i++) {
            static thread_local Weighted whole;
            const Piece &piece = pieces[i];
            Weighted &weighted = is_part(piece) ? parts[i] : whole;
            attend_parts(op, pages(piece.sequence), piece, weighted);
            if (!is_part(piece)) finish(op, piece, weighted);
        }
    }
    for (size_t i = 0, first = 0; i < pieces.size(); i++) {
        if (!is_part(pieces[i])) continue;
        if (pieces[i].from == 0) first = i;
        else parts[first].add(parts[i], op.head_dim);
        if (ends(pieces[i])) finish(op, pieces[i], parts[first]);
    }
}
