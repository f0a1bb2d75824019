/* Attention of a block of queries over the keys and values of one head. */
#ifndef ONEBAR_ATTENTION_H
#define ONEBAR_ATTENTION_H

#include "product.h"

#define MOST_QUERIES 8

#ifdef __AVX512F__
INLINE void transpose16(__m512 r[16]) {
    __m512 t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(t[i]), _mm512_castps_pd(t[i + 2])));
        r[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(t[i]), _mm512_castps_pd(t[i + 2])));
        r[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(t[i + 1]), _mm512_castps_pd(t[i + 3])));
        r[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(t[i + 1]), _mm512_castps_pd(t[i + 3])));
    }
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
    }
    for (int i = 0; i < 4; i++) {
        r[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
        r[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd);
        r[i + 4] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0x88);
        r[i + 12] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

/* keys [count, stride] of `dim` floats each -> by_dim [dim, room], zeros past count; room is count rounded up to a
   multiple of 16. */
static void transpose_keys(const float* keys, ptrdiff_t stride, ptrdiff_t count, ptrdiff_t dim, float* by_dim,
                           ptrdiff_t room) {
    for (ptrdiff_t first = 0; first < count; first += 16) {
        for (ptrdiff_t d = 0; d < dim; d += LANES) {
            const __mmask16 lanes = first_lanes(dim - d);
            __m512 block[16];
#pragma GCC unroll 16
            for (int i = 0; i < 16; i++)
                block[i] = first + i < count ? _mm512_maskz_loadu_ps(lanes, keys + (first + i) * stride + d)
                                             : _mm512_setzero_ps();
            transpose16(block);
            const int rows = dim - d < 16 ? (int)(dim - d) : 16;
#pragma GCC unroll 16
            for (int i = 0; i < 16; i++)
                if (i < rows) _mm512_storeu_ps(by_dim + (d + i) * room + first, block[i]);
        }
    }
}
#else
static void transpose_keys(const float* keys, ptrdiff_t stride, ptrdiff_t count, ptrdiff_t dim, float* by_dim,
                           ptrdiff_t room) {
    for (ptrdiff_t first = 0; first < room; first += LANES)
        for (ptrdiff_t d = 0; d < dim; d++)
            for (ptrdiff_t i = first; i < first + LANES; i++)
                by_dim[d * room + i] = i < count ? keys[i * stride + d] : 0.0f;
}
#endif

/* context [queries, context_stride] = softmax(queries . keys / sqrt(dim)) . values, of one head.

   by_dim: keys as transpose_keys writes them. weights: memory for MOST_QUERIES * room floats. */
static void attend(const float* queries, ptrdiff_t query_stride, ptrdiff_t query_count, const float* by_dim,
                   ptrdiff_t room, const float* values, ptrdiff_t value_stride, ptrdiff_t key_count, ptrdiff_t dim,
                   float* weights, float* context, ptrdiff_t context_stride) {
    const float scale = 1.0f / sqrtf((float)dim);
    for (ptrdiff_t first = 0; first < query_count; first += MOST_QUERIES) {
        const ptrdiff_t rows = query_count - first < MOST_QUERIES ? query_count - first : MOST_QUERIES;
        float factors[MOST_QUERIES] = {1, 1, 1, 1, 1, 1, 1, 1};
        float_product(rows, queries + first * query_stride, query_stride, by_dim, room, dim, room, factors, weights,
                      room);
        for (ptrdiff_t r = 0; r < rows; r++) factors[r] = exp_row(weights + r * room, key_count, room, scale);
        float_product(rows, weights, room, values, value_stride, key_count, dim, factors,
                      context + first * context_stride, context_stride);
    }
}

/* Attention of one query over the keys whose numbers are listed, for few keys that lie apart. weights: memory for
   `count` floats, rounded up to a multiple of 16. */
static void attend_to_some(const float* query, const float* keys, const float* values, const int32_t* listed,
                           ptrdiff_t count, ptrdiff_t dim, float* weights, float* context) {
    for (ptrdiff_t i = 0; i < count; i++) {
        const float* key = keys + listed[i] * dim;
        floats sum = zeros();
        for (ptrdiff_t d = 0; d < dim; d += LANES)
            sum = multiply_add(load_first(dim - d, query + d), load_first(dim - d, key + d), sum);
        weights[i] = sum_of(sum);
    }
    const floats factor = same(exp_row(weights, count, (count + LANES - 1) / LANES * LANES, 1.0f / sqrtf((float)dim)));
    for (ptrdiff_t d = 0; d < dim; d += LANES) {
        floats sum = zeros();
        for (ptrdiff_t i = 0; i < count; i++)
            sum = multiply_add(same(weights[i]), load_first(dim - d, values + listed[i] * dim + d), sum);
        store_first(dim - d, context + d, multiply(sum, factor));
    }
}

#endif
