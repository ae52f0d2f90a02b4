// From logits to one token a row, as in engine/kernels/choose.py.
#pragma once

#include <functional>

#include "linear.h"

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
        float peak = largest_of(peaks);
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

// A row's column of `draws`. Without filters everything is kept.
struct Draw {
    double temperature, number;
    double reach = INFINITY, top_k = INFINITY, top_p = 1;
};

// How likely tokens are beside one whose logit is `peak`: nothing under `least`, or under e^-87.
struct Shares {
    float peak, temperature, least;

    INLINE floats operator()(floats x) const {
        floats below = x / temperature - peak / temperature;
        floats shares = below > -87.0f ? exponential(below) : floats{};
        return x >= least ? shares : floats{};
    }
    INLINE float operator()(float x) const { return (*this)(floats{} + x)[0]; }
};

// The numbers from `least` on by how far they are under the peak: BUCKETS weights, of which the last one is of all that
// are further off than the others reach. Those of a bucket are put in order when it is known to matter.
class Ranking {
  public:
    Ranking(const float *x, long count, Shares shares) : x(x), count(count), shares(shares) {}

    // The least number above which less than `wanted` stand; `least` if fewer do.
    float by_count(double wanted) {
        auto one = [](floats) { return floats{} + 1; };
        fill(one);
        return find(wanted, one);
    }

    // The least number above which those that stand have less than a part of the sum of all shares.
    float by_share(double part) {
        double total = fill(shares);
        return find(part * total, shares);
    }

  private:
    static constexpr long BUCKETS = 2048;
    const float *x;
    const long count;
    const Shares shares;
    double weights[BUCKETS];

    INLINE floats places(floats numbers) const {
        floats places = (shares.peak - numbers) / shares.temperature * (BUCKETS / 32);
        return places < BUCKETS - 1 ? places : floats{} + (BUCKETS - 1);
    }

    template <class Weigh> double fill(Weigh weigh) {
        double total = 0;
        std::fill(weights, weights + BUCKETS, 0.0);
        for (long first = 0; first < count; first += LANES) {
            const long here = std::min(LANES, count - first);
            floats numbers = floats{} - INFINITY;
            std::memcpy(&numbers, x + first, here * sizeof(float));
            const floats at = places(numbers), weight = numbers >= shares.least ? weigh(numbers) : floats{};
            for (long i = 0; i < here; i++) weights[long(at[i])] += weight[i], total += weight[i];
        }
        return total;
    }

    template <class Weigh> float find(double wanted, Weigh weigh) const {
        double above = 0;
        long at = 0;
        while (at < BUCKETS && above + weights[at] < wanted) above += weights[at++];
        if (at == BUCKETS) return shares.least;
        std::vector<float> numbers;
        for (long i = 0; i < count; i++)
            if (x[i] >= shares.least && long(places(floats{} + x[i])[0]) == at) numbers.push_back(x[i]);
        std::sort(numbers.begin(), numbers.end(), std::greater<float>());
        float least = shares.peak;
        for (float number : numbers) {
            if (above >= wanted) break;
            least = number, above += weigh(floats{} + number)[0];
        }
        return least;
    }
};

// The smallest logit that the filters leave.
inline float least_kept(const float *x, long count, float peak, const Draw &draw) {
    const float temperature = float(draw.temperature);
    float least = -INFINITY;
    if (draw.reach < INFINITY) { // The first float that is not under it.
        least = float(peak - draw.reach);
        if (least < peak - draw.reach) least = std::nextafter(least, INFINITY);
    }
    if (draw.top_k < count) least = Ranking(x, count, {peak, temperature, least}).by_count(draw.top_k);
    if (draw.top_p < 1) least = Ranking(x, count, {peak, temperature, least}).by_share(draw.top_p);
    return least;
}

// The first token at which the cumulated shares exceed `number` of their sum: the stretch first, then within it.
inline long drawn(const float *x, long count, Shares shares, double number) {
    std::vector<double> reached;
    double total = 0;
    for (long first = 0; first < count; first += STRETCH) {
        const long last = std::min(first + STRETCH, count);
        floats sums = {};
        long i = first;
        for (; i + LANES <= last; i += LANES) sums += shares(load<floats>(x + i));
        total += sum(sums);
        for (; i < last; i++) total += shares(x[i]);
        reached.push_back(total);
    }
    const double wanted = number * total;
    const long stretch = std::upper_bound(reached.begin(), reached.end(), wanted) - reached.begin();
    double so_far = stretch ? reached[stretch - 1] : 0;
    long token = 0;
    for (long i = stretch * STRETCH; i < std::min((stretch + 1) * STRETCH, count); i++) {
        const float share = shares(x[i]);
        if (!share) continue;
        token = i, so_far += share;
        if (so_far > wanted) break;
    }
    return token;
}

inline long choose(const float *x, long vocab, const Draw &draw) {
    const long best = first_largest(x, vocab);
    if (best < 0 || !(draw.temperature > 0)) return best;
    const float peak = x[best];
    if (std::isinf(peak / float(draw.temperature))) return -1;
    return drawn(x, vocab, {peak, float(draw.temperature), least_kept(x, vocab, peak, draw)}, draw.number);
}

// `draws` [2 or 5, rows], whose rows are `stride` apart.
inline void choose(
    const float *logits, const double *draws, long kinds, long stride, int64_t *out, long rows, long vocab,
    int threads) {
    threads = threads_for_pieces(rows, rows * vocab, threads);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (long r = 0; r < rows; r++) {
        auto of = [=](long kind) { return draws[kind * stride + r]; };
        Draw draw{of(0), of(1)};
        if (kinds > 2) draw = {of(0), of(1), of(2), of(3), of(4)};
        out[r] = choose(logits + r * vocab, vocab, draw);
    }
}
