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

typedef bool (*Replayed)(int threads, const Argument *arguments);

template <class... T, size_t... I>
bool spread(bool (*function)(int, T...), int threads, const Argument *arguments, std::index_sequence<I...>) {
    static_assert(sizeof...(T) <= MOST_ARGUMENTS, "a call has too few places");
    return function(threads, arguments[I].template as<T>()...);
}

template <class... T> constexpr auto places_of(bool (*)(int, T...)) { return std::index_sequence_for<T...>(); }

// A function as one that takes its arguments from an array.
template <auto FUNCTION> bool replayed(int threads, const Argument *arguments) {
    return spread(FUNCTION, threads, arguments, places_of(FUNCTION));
}
