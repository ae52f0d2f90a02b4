// From token ids to rows of numbers, and from the last rows to float32 and to tokens.
#pragma once

#include "linear.h"

// [tokens], [vocabulary, columns] → [tokens, columns].
inline void embed(const int32_t *token_ids, const bf16 *table, bf16 *out, long tokens, long columns) {
    for (long t = 0; t < tokens; t++)
        std::memcpy(out + t * columns, table + token_ids[t] * columns, columns * sizeof(bf16));
}

inline void widen(const bf16 *x, float *out, long count, int threads) {
    constexpr long SHARE = 1 << 14; // Numbers that are worth waking a thread for.
    threads = int(std::max(1L, std::min<long>(threads, count / SHARE)));
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (long first = 0; first < count; first += SHARE) {
        const long last = std::min(first + SHARE, count);
        long i = first;
        for (; i + LANES <= last; i += LANES) store(out + i, widen(load<halves>(x + i)));
        for (; i < last; i++) out[i] = to_float(x[i]);
    }
}

constexpr long STRETCH = 1024; // Tokens that are looked at together.

// The place of the first of the largest numbers, or −1 where that is infinite, or any is no number.
inline long first_largest(const float *x, long count) {
    float largest = -INFINITY;
    long at = 0;
    ints none = {};
    for (long first = 0; first < count; first += STRETCH) {
        const long last = std::min(first + STRETCH, count);
        floats peaks = floats{} - INFINITY;
        long i = first;
        for (; i + LANES <= last; i += LANES) {
            floats numbers = load<floats>(x + i);
            none |= numbers != numbers;
            peaks = numbers > peaks ? numbers : peaks;
        }
        float peak = -INFINITY;
        for (long lane = 0; lane < LANES; lane++) peak = std::max(peak, peaks[lane]);
        for (; i < last; i++) {
            if (x[i] != x[i]) return -1;
            peak = std::max(peak, x[i]);
        }
        if (peak > largest) largest = peak, at = first;
    }
    for (long lane = 0; lane < LANES; lane++)
        if (none[lane]) return -1;
    if (std::isinf(largest)) return -1;
    return std::find(x + at, x + count, largest) - x;
}

// How likely tokens are beside one whose logit is `peak`. Under e^-87 it is nothing.
INLINE floats shares(floats x, float peak, float temperature) {
    floats below = x / temperature - peak / temperature;
    return below > -87.0f ? exponential(below) : floats{};
}

INLINE float share(float x, float peak, float temperature) { return shares(floats{} + x, peak, temperature)[0]; }

// The first token at which the cumulated shares exceed `number` of their sum: the stretch first, then within it.
inline long drawn(const float *x, long count, float peak, float temperature, double number) {
    std::vector<double> reached;
    double total = 0;
    for (long first = 0; first < count; first += STRETCH) {
        const long last = std::min(first + STRETCH, count);
        floats sums = {};
        long i = first;
        for (; i + LANES <= last; i += LANES) sums += shares(load<floats>(x + i), peak, temperature);
        total += sum(sums);
        for (; i < last; i++) total += share(x[i], peak, temperature);
        reached.push_back(total);
    }
    const double wanted = number * total;
    const long stretch = std::upper_bound(reached.begin(), reached.end(), wanted) - reached.begin();
    double so_far = stretch ? reached[stretch - 1] : 0;
    long token = 0;
    for (long i = stretch * STRETCH; i < std::min((stretch + 1) * STRETCH, count); i++) {
        const float its = share(x[i], peak, temperature);
        if (!its) continue;
        token = i, so_far += its;
        if (so_far > wanted) break;
    }
    return token;
}

// As in engine/kernels/vocabulary.py.
inline void choose(
    const float *logits, const double *temperatures, const double *numbers, int64_t *out, long rows, long vocab,
    int threads) {
    threads = int(std::min<long>(rows, threads_for(rows * vocab, threads)));
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (long r = 0; r < rows; r++) {
        const float *x = logits + r * vocab;
        const long best = first_largest(x, vocab);
        out[r] = best < 0 || !(temperatures[r] > 0) ? best
                                                    : drawn(x, vocab, x[best], float(temperatures[r]), numbers[r]);
    }
}
