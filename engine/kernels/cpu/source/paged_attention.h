// Attention over pages. All new keys are written first; a decoding sequence's are read in parts, which are then combined.
#pragma once

#include "attention.h"

constexpr long PART = 1024; // Keys: by their place alone, so that no batch changes how a row's sums are made.

// A chunk's rows some at a time over all their keys, a decoding row over each part of its keys.
INLINE void cut_up(const Attention &op, std::vector<Piece> &pieces) {
    pieces.clear();
    for (long s = 0; s < op.sequences; s++) {
        const long row = op.starts[s], count = op.count(s), keys = op.contexts[s] + count;
        if (count == 1)
            for (long from = 0; from < keys; from += PART)
                pieces.push_back({s, row, 1, from, std::min(from + PART, keys)});
        else
            each_few_rows(count, [&](long first, long rows) {
                pieces.push_back({s, row + first, rows, 0, op.contexts[s] + first + rows});
            });
    }
}

inline void paged_attention(const Attention &op, const int32_t *tables, long most_pages, long page_size, int threads) {
    static thread_local std::vector<Piece> piece_store;
    static thread_local std::vector<Weighted> part_store;
    std::vector<Piece> &pieces = piece_store;
    std::vector<Weighted> &parts = part_store; // Of the pieces that are parts; the others' are done with at once.
    cut_up(op, pieces);
    if (parts.size() < pieces.size()) parts.resize(pieces.size());
    auto pages = [&](long s, long row) { return Pages{tables + s * most_pages, page_size, op.position(row)}; };
    auto ends = [&](const Piece &piece) { return op.count(piece.sequence) > 1 || piece.to > op.contexts[piece.sequence]; };
    auto is_part = [&](const Piece &piece) { return piece.from > 0 || !ends(piece); };
    threads = op.threads(std::numeric_limits<long>::max(), threads);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
#pragma omp for schedule(static)
        for (long row = 0; row < op.starts[op.sequences]; row++) {
            const Pages own = pages(op.sequence_of(row), row);
            for (long h = 0; h < op.kv_heads; h++) write(op, row, h, op.keys, op.values, own.slot(own.newest));
        }
#pragma omp for schedule(dynamic)
        for (size_t i = 0; i < pieces.size(); i++) {
            static thread_local Weighted whole;
            const Piece &piece = pieces[i];
            Weighted &weighted = is_part(piece) ? parts[i] : whole;
            attend(op, op.keys, op.values, pages(piece.sequence, piece.row), piece, weighted);
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
