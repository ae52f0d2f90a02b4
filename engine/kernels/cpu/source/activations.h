// Rows of numbers as products take them: each in the order that its matrix is unpacked in, and on AMX as tiles as well.
#pragma once

#include <new>
#include <vector>

#if defined(__AMX_BF16__)
#include "tile_layout.h"
#elif defined(__AVX512BF16__)
#include "rows_avx512.h"
#else
#include "mxfp4_portable.h"
#endif

// Memory that begins with a cache line: a vector that lies across two of them takes twice as long to load.
template <class T> struct Aligned {
    typedef T value_type;
    static constexpr std::align_val_t LINE{64};
    T *allocate(size_t count) { return static_cast<T *>(operator new(count * sizeof(T), LINE)); }
    void deallocate(T *memory, size_t) { operator delete(memory, LINE); }
    bool operator==(const Aligned &) const { return true; }
    bool operator!=(const Aligned &) const { return false; }
};
typedef std::vector<Activation, Aligned<Activation>> Buffer;

// Rows of numbers as activations of a matrix, and pointers to them.
class Activations {
  public:
    template <class Rows> void resize(long count, long columns) {
        stride = Rows::padded(columns);
        if (long(values.size()) < count * stride) values.resize(count * stride);
        pointers.resize(count);
        const long full = columns / TOGETHER * TOGETHER; // Behind it not every place gets a number.
        for (long i = 0; i < count; i++) {
            pointers[i] = row(i);
            if (stride != columns) std::memset(row(i) + full, 0, (stride - full) * sizeof(Activation));
        }
    }
    Activation *row(long i) { return values.data() + i * stride; }
    const Activation *const *all() const { return pointers.data(); }

  private:
    long stride = 0;
    Buffer values;
    std::vector<const Activation *> pointers;
};

template <class Rows> INLINE void put(Activation *to, const bf16 *from, long columns) {
    for (long k = 0; k < columns; k += LANES) Rows::put(to, k, columns, load<halves>(from + k));
}

// What rows of a matrix are multiplied with. On AMX more than one row must be there as tiles.
struct Batch {
    const Activation *const *x;
    long tokens;
    const Activation *tiles = nullptr;
};

// One batch for each matrix: the rows x[starts[b]] … x[starts[b + 1] − 1] are of batch b.
class Batches {
  public:
    template <class Rows>
    void arrange(const Activation *const *rows, const std::vector<long> &first, [[maybe_unused]] long columns) {
        x = rows, starts = first.data();
#if defined(__AMX_BF16__)
        padded = Rows::padded(columns);
        long size = 0;
        parts.clear();
        places.clear();
        for (long b = 0; b + 1 < long(first.size()); b++) {
            places.push_back(size);
            if (count(b) < 2) continue;
            const TileLayout layout(count(b), padded);
            for (long part = 0; part < layout.parts; part++) parts.push_back({b, part});
            size += layout.size();
        }
        if (long(tiles.size()) < size) tiles.resize(size);
#endif
    }

    // By all threads of a team, before any of them multiplies.
    void pack() {
#if defined(__AMX_BF16__)
        if (parts.empty()) return;
#pragma omp for schedule(static)
        for (size_t i = 0; i < parts.size(); i++) {
            const auto [batch, number] = parts[i];
            TileLayout(count(batch), padded).pack(x + starts[batch], number, tiles.data() + places[batch]);
        }
#endif
    }

    Batch operator[](long b) const {
#if defined(__AMX_BF16__)
        if (count(b) > 1) return {x + starts[b], count(b), tiles.data() + places[b]};
#endif
        return {x + starts[b], count(b)};
    }

  private:
    const Activation *const *x = nullptr;
    const long *starts = nullptr;
    long count(long b) const { return starts[b + 1] - starts[b]; }
#if defined(__AMX_BF16__)
    struct Part {
        long batch, number;
    };
    long padded = 0;
    std::vector<long> places;
    std::vector<Part> parts;
    Buffer tiles;
#endif
};
