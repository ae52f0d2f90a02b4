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
        for (long done = 0; count > 1 && done < count; done += ROWS_TOGETHER) {
            const long rows = std::min(ROWS_TOGETHER, count - done);
            pieces.push_back({s, row + done, rows, 0, op.contexts[s] + done + rows});
        }
    }
}

inline void paged_attention(const Attention &op, const int32_t *tables, long most_pages, long page_size, int threads) {
    static thread_local std::vector<Piece> piece_store;
    static thread_local std::vector<Weighted> part_store;
    std::vector<Piece> &pieces = piece_store;
    std::vector<Weighted> &parts = part_store;
    cut_up(op, pieces);
    if (parts.size() < pieces.size()) parts.resize(pieces.size());
    const long rows = op.starts[op.sequences];
    auto pages = [&](long s, long row) { return Pages{tables + s * most_pages, page_size, op.position(row)}; };
    auto is_whole = [&](const Piece &piece) {
        return op.count(piece.sequence) > 1 || (piece.from == 0 && piece.to == op.contexts[piece.sequence] + 1);
    };
    threads = op.threads(std::numeric_limits<long>::max(), threads);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
#pragma omp for schedule(static)
        for (long row = 0; row < rows; row++)
            for (long h = 0; h < op.kv_heads; h++) {
                const Pages own = pages(op.sequence_of(row), row);
                write(op, row, h, op.keys, op.values, own.slot(own.newest));
            }
#pragma omp for schedule(dynamic)
        for (size_t i = 0; i < pieces.size(); i++) {
            attend(op, op.keys, op.values, pages(pieces[i].sequence, pieces[i].row), pieces[i], parts[i]);
            if (is_whole(pieces[i])) finish(op, pieces[i], parts[i]);
        }
    }
    for (size_t i = 0, first = 0; i < pieces.size(); i++) {
        if (is_whole(pieces[i])) continue;
        if (pieces[i].from == 0) first = i;
        else parts[first].add(parts[i], op.head_dim);
        if (pieces[i].to == op.contexts[pieces[i].sequence] + 1) finish(op, pieces[i], parts[first]);
    }
}
