// The ops as C functions, for `engine.kernels.cpu.library`. Shapes stand at the structures that are filled here.
//
// Nothing else is visible: else the linker would make one of what libraries of two levels keep under the same name.
#include <exception>

#include "choose.h"
#include "experts.h"
#include "linear.h"
#include "paged_attention.h"
#include "replay.h"
#include "ring_attention.h"
#include "rotary.h"
#include "router.h"
#include "vocabulary.h"

// visit(a number as the caches hold it), for they are told apart by their bytes.
template <class Visit> static void with_cached(long number_bytes, const Visit &visit) {
    number_bytes == sizeof(e4m3) ? visit(e4m3{}) : visit(bf16{});
}

// Whether `work` had memory for what its threads share, which grows with the tokens. An exception that left the library
// would end the process, as one of the little that each thread takes for itself still does: no other thread may see it.
template <class Work> static bool done(const Work &work) {
    try {
        work();
        return true;
    } catch (const std::exception &) {
        return false;
    }
}

#pragma GCC visibility push(default)
extern "C" {

bool carousel_embed(int, const int32_t *token_ids, const bf16 *table, bf16 *out, long tokens, long columns) {
    return done([=] { embed(token_ids, table, out, tokens, columns); });
}

bool carousel_cos_sin(
    int threads, const int32_t *positions, const float *frequencies, float concentration, float *cos, float *sin,
    long tokens, long half) {
    return done([=] { cos_sin(positions, frequencies, concentration, cos, sin, tokens, half, threads); });
}

bool carousel_linear_bf16(
    int threads, const bf16 *x, const float *norm, float eps, const bf16 *weight, const bf16 *bias,
    const bf16 *residual, bf16 *out, long tokens, long rows, long columns) {
    return done([=] {
        linear(Bf16Rows{weight, columns, columns}, {x, norm, eps, bias, residual, out, tokens, rows, columns}, threads);
    });
}

bool carousel_linear_fp8(
    int threads, const bf16 *x, const float *norm, float eps, const uint8_t *weight, const float *scales,
    const bf16 *bias, const bf16 *residual, bf16 *out, long tokens, long rows, long columns) {
    return done([=] {
        linear(Fp8Rows{weight, scales, columns}, {x, norm, eps, bias, residual, out, tokens, rows, columns}, threads);
    });
}

bool carousel_route(
    int threads, const bf16 *x, const float *norm, float eps, const bf16 *weight, const bf16 *bias, bf16 *normed,
    int64_t *chosen, bf16 *weights, long tokens, long columns, long experts, long k) {
    return done([=] {
        route({x, norm, eps, weight, bias, normed, chosen, weights, tokens, columns, experts, k}, threads);
    });
}

bool carousel_order_mxfp4(int threads, uint8_t *blocks, long rows, long columns) {
    return done([=] { order_rows(blocks, rows, columns, threads); });
}

bool carousel_experts_mxfp4(
    int threads, const bf16 *x, const int64_t *chosen, const bf16 *weights, const uint8_t *up_blocks,
    const uint8_t *up_scales, const bf16 *up_bias, const uint8_t *down_blocks, const uint8_t *down_scales,
    const bf16 *down_bias, float alpha, float limit, const bf16 *residual, bf16 *out, long tokens, long hidden,
    long inner, long experts, long k) {
    return done([=] {
        auto up = [=](long e) {
            long at = e * 2 * inner * hidden;
            return Mxfp4Rows{up_blocks + at / 2, up_scales + at / 32, hidden};
        };
        auto down = [=](long e) {
            long at = e * hidden * inner;
            return Mxfp4Rows{down_blocks + at / 2, down_scales + at / 32, inner};
        };
        mix_experts(
            up, down,
            {x, chosen, weights, up_bias, down_bias, alpha, limit, residual, out, tokens, hidden, inner, experts, k},
            threads);
    });
}

bool carousel_experts_bf16(
    int threads, const bf16 *x, const int64_t *chosen, const bf16 *weights, const bf16 *up_matrix, const bf16 *up_bias,
    const bf16 *down_matrix, const bf16 *down_bias, float alpha, float limit, const bf16 *residual, bf16 *out,
    long tokens, long hidden, long inner, long experts, long k) {
    return done([=] {
        auto up = [=](long e) { return Bf16Rows{up_matrix + e * 2 * inner * hidden, hidden, hidden}; };
        auto down = [=](long e) { return Bf16Rows{down_matrix + e * hidden * inner, inner, inner}; };
        mix_experts(
            up, down,
            {x, chosen, weights, up_bias, down_bias, alpha, limit, residual, out, tokens, hidden, inner, experts, k},
            threads);
    });
}

bool carousel_ring_attention(
    int threads, const bf16 *q, const bf16 *k, const bf16 *v, long q_stride, long k_stride, long v_stride,
    const float *cos, const float *sin, const float *sinks, void *keys, void *values, bf16 *out, long number_bytes,
    long heads, long kv_heads, long head_dim, const int32_t *starts, const int32_t *contexts, long sequences,
    const int32_t *rings, long window) {
    return done([=] {
        with_cached(number_bytes, [=](auto cached) {
            typedef decltype(cached) Cached;
            ring_attention<Cached>(
                {q, k, v, q_stride, k_stride, v_stride, cos, sin, sinks, (Cached *)keys, (Cached *)values, out, heads,
                 kv_heads, head_dim, starts, contexts, sequences},
                rings, window, threads);
        });
    });
}

bool carousel_paged_attention(
    int threads, const bf16 *q, const bf16 *k, const bf16 *v, long q_stride, long k_stride, long v_stride,
    const float *cos, const float *sin, const float *sinks, void *keys, void *values, bf16 *out, long number_bytes,
    long heads, long kv_heads, long head_dim, const int32_t *starts, const int32_t *contexts, long sequences,
    const int32_t *tables, long most_pages, long page_size) {
    return done([=] {
        with_cached(number_bytes, [=](auto cached) {
            typedef decltype(cached) Cached;
            paged_attention<Cached>(
                {q, k, v, q_stride, k_stride, v_stride, cos, sin, sinks, (Cached *)keys, (Cached *)values, out, heads,
                 kv_heads, head_dim, starts, contexts, sequences},
                tables, most_pages, page_size, threads);
        });
    });
}

bool carousel_widen(int threads, const bf16 *x, float *out, long count) {
    return done([=] { widen(x, out, count, threads); });
}

bool carousel_choose(
    int threads, const float *logits, const double *draws, long kinds, long stride, int64_t *out, long rows,
    long vocab) {
    return done([=] { choose(logits, draws, kinds, stride, out, rows, vocab, threads); });
}

bool carousel_replay(int threads, const Call *calls, long count) {
    static const Replayed FUNCTIONS[] = {
        replayed<carousel_embed>,
        replayed<carousel_cos_sin>,
        replayed<carousel_linear_bf16>,
        replayed<carousel_linear_fp8>,
        replayed<carousel_route>,
        replayed<carousel_experts_mxfp4>,
        replayed<carousel_experts_bf16>,
        replayed<carousel_ring_attention>,
        replayed<carousel_paged_attention>,
        replayed<carousel_widen>,
        replayed<carousel_choose>,
        replayed<carousel_order_mxfp4>,
    };
    for (long i = 0; i < count; i++)
        if (!FUNCTIONS[calls[i].function](threads, calls[i].arguments)) return false;
    return true;
}
}
#pragma GCC visibility pop
