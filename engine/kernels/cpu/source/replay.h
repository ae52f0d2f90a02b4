// Calls that were written down, to be made again without Python between them (engine/kernels/cpu/recording.py).
#pragma once

#include <type_traits>
#include <utility>

union Argument {
    void *address;
    long number;
    float real;

    template <class T> T as() const {
        if constexpr (std::is_pointer_v<T>) return T(address);
        else if constexpr (std::is_floating_point_v<T>) return real;
        else return number;
    }
};

constexpr size_t MOST_ARGUMENTS = 24;

struct Call {
    long function; // Its place in the table of carousel_replay.
    Argument arguments[MOST_ARGUMENTS];
};

typedef void (*Replayed)(int threads, const Argument *arguments);

template <class... T, size_t... I>
void spread(void (*function)(int, T...), int threads, const Argument *arguments, std::index_sequence<I...>) {
    static_assert(sizeof...(T) <= MOST_ARGUMENTS, "a call has too few places");
    function(threads, arguments[I].template as<T>()...);
}

template <class... T> constexpr auto places_of(void (*)(int, T...)) { return std::index_sequence_for<T...>(); }

// A function as one that takes its arguments from an array.
template <auto FUNCTION> void replayed(int threads, const Argument *arguments) {
    spread(FUNCTION, threads, arguments, places_of(FUNCTION));
}
