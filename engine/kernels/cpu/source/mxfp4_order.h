// The order in which the ops read MXFP4, as words of four nibbles: nibble j of word w of 128 columns is column 32 j + w, so
// that what one shift brings forward are neighbours of one scale. What is left of a row, n = columns / 4 words, is column
// n j + w.
//
//     128 columns: word 5 is of the columns 5, 37, 69, 101;  64 columns: of 5, 21, 37, 53
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

constexpr long TOGETHER = 128; // Columns.

// A row of blocks as published, where the low nibble of byte i is column 2 i, into that order.
inline void order_row(uint8_t *row, long columns) {
    for (long first = 0; first < columns; first += TOGETHER, row += TOGETHER / 2) {
        const long words = std::min(TOGETHER, columns - first) / 4;
        uint16_t ordered[TOGETHER / 4];
        for (long i = 0; i < words / 2; i++) { // The words of even columns, and those of odd ones.
            uint16_t even = 0, odd = 0;
            for (long j = 0; j < 4; j++) {
                const uint16_t byte = row[words / 2 * j + i];
                even |= uint16_t((byte & 15) << 4 * j), odd |= uint16_t((byte >> 4) << 4 * j);
            }
            ordered[2 * i] = even, ordered[2 * i + 1] = odd;
        }
        std::memcpy(row, ordered, 2 * words);
    }
}

inline void order_rows(uint8_t *blocks, long rows, long columns, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (long r = 0; r < rows; r++) order_row(blocks + r * columns / 2, columns);
}
