/* Products with a fixed matrix: unsigned bytes by signed bytes, summed exactly in 32 bits (VNNI), and small float ones.

   The fixed matrix is packed once: panels of 32 output columns, in each panel four input rows after four, so that one
   register holds what one VNNI instruction multiplies: 16 columns by 4 rows. */
#ifndef ONEBAR_PRODUCT_H
#define ONEBAR_PRODUCT_H

#include "kernels.h"
#include "rows.h"

#define MOST_ROWS 8 /* 16 registers of sums: enough to hide the latency of the instruction, and eight beams at once */

/* Where the sums go. The first of these that is set: bytes; floats, added to a residual; floats. */
typedef struct {
    float* floats; /* [rows, floats_stride] */
    ptrdiff_t floats_stride;
    const float* residual; /* like floats, or NULL */
    int gelu;
    uint8_t* bytes; /* [rows, bytes_stride], or NULL */
    ptrdiff_t bytes_stride;
    Rounding rounding; /* of bytes */
} Output;

INLINE void finish(__m512i sums, __m512 factor, __m512 bias, const Output* out, ptrdiff_t row, ptrdiff_t column,
                   __mmask16 lanes) {
    __m512 x = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums), factor, bias);
    if (out->gelu) x = gelu16(x);
    if (out->bytes) {
        store_bytes(out->bytes + row * out->bytes_stride + column, x, out->rounding, lanes);
        return;
    }
    ptrdiff_t place = row * out->floats_stride + column;
    if (out->residual) x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(lanes, out->residual + place));
    _mm512_mask_storeu_ps(out->floats + place, lanes, x);
}

/* sums += bytes by signed bytes. In assembly: around the intrinsic, gcc 12 copies the sums, which halves the speed. */
#define MULTIPLY_ADD(sums, bytes, weights) __asm__("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(bytes), "v"(weights))

/* One function for each number of rows, so that its sums stay in registers. */
#define ROWS_1(DO) DO(0)
#define ROWS_2(DO) ROWS_1(DO) DO(1)
#define ROWS_3(DO) ROWS_2(DO) DO(2)
#define ROWS_4(DO) ROWS_3(DO) DO(3)
#define ROWS_5(DO) ROWS_4(DO) DO(4)
#define ROWS_6(DO) ROWS_5(DO) DO(5)
#define ROWS_7(DO) ROWS_6(DO) DO(6)
#define ROWS_8(DO) ROWS_7(DO) DO(7)

#define DECLARE(r) __m512i left##r = start0, right##r = start1;
#define ADD(r)                                                                           \
    {                                                                                    \
        const __m512i four = _mm512_set1_epi32(*(const int32_t*)(x + (r) * stride + k)); \
        MULTIPLY_ADD(left##r, four, w0);                                                 \
        MULTIPLY_ADD(right##r, four, w1);                                                \
    }
#define FINISH(r)                                                          \
    finish(left##r, factor0, bias0, out, first_row + (r), column, lanes0); \
    finish(right##r, factor1, bias1, out, first_row + (r), column + LANES, lanes1);

#define DEFINE_BLOCK(rows)                                                                                          \
    static void product_of_##rows(const uint8_t* x, ptrdiff_t stride, const Linear* linear, ptrdiff_t column,       \
                                  float step, int zero, ptrdiff_t first_row, const Output* out) {                   \
        const __m512i zeros = _mm512_set1_epi32(-zero);                                                             \
        const __m512i start0 = _mm512_mullo_epi32(zeros, _mm512_loadu_si512(linear->column_sums + column));         \
        const __m512i start1 = _mm512_mullo_epi32(zeros, _mm512_loadu_si512(linear->column_sums + column + LANES)); \
        ROWS_##rows(DECLARE);                                                                                       \
        const int8_t* w = linear->packed + column * linear->inputs;                                                 \
        for (ptrdiff_t k = 0; k < linear->inputs; k += GROUP, w += PANEL * GROUP) {                                 \
            const __m512i w0 = _mm512_loadu_si512(w), w1 = _mm512_loadu_si512(w + PANEL * GROUP / 2);               \
            ROWS_##rows(ADD)                                                                                        \
        }                                                                                                           \
        const ptrdiff_t outputs = linear->outputs - column;                                                         \
        const __mmask16 lanes0 = first_lanes(outputs), lanes1 = outputs > LANES ? first_lanes(outputs - LANES) : 0; \
        const __m512 steps = _mm512_set1_ps(step);                                                                  \
        const __m512 factor0 = _mm512_mul_ps(steps, _mm512_loadu_ps(linear->scale + column));                       \
        const __m512 factor1 = _mm512_mul_ps(steps, _mm512_loadu_ps(linear->scale + column + LANES));               \
        const __m512 bias0 = _mm512_loadu_ps(linear->bias + column),                                                \
                     bias1 = _mm512_loadu_ps(linear->bias + column + LANES);                                        \
        ROWS_##rows(FINISH)                                                                                         \
    }
DEFINE_BLOCK(1)
DEFINE_BLOCK(2)
DEFINE_BLOCK(3)
DEFINE_BLOCK(4)
DEFINE_BLOCK(5)
DEFINE_BLOCK(6)
DEFINE_BLOCK(7)
DEFINE_BLOCK(8)

/* out = bytes [rows, stride] by the linear layer. The bytes stand for (byte - zero) * step. */
static void product(const uint8_t* x, ptrdiff_t stride, ptrdiff_t rows, const Linear* linear, float step, int zero,
                    const Output* out) {
    static void (*const block_of[])(const uint8_t*, ptrdiff_t, const Linear*, ptrdiff_t, float, int, ptrdiff_t,
                                    const Output*) = {NULL,         product_of_1, product_of_2,
                                                      product_of_3, product_of_4, product_of_5,
                                                      product_of_6, product_of_7, product_of_8};
    const ptrdiff_t blocks = (rows + MOST_ROWS - 1) / MOST_ROWS;
    for (ptrdiff_t column = 0; column < linear->outputs; column += PANEL) {
        /* The panel stays in the first-level cache while all rows are multiplied. */
        for (ptrdiff_t block = 0; block < blocks; block++) {
            const ptrdiff_t first = block * rows / blocks, count = (block + 1) * rows / blocks - first;
            block_of[count](x + first * stride, stride, linear, column, step, zero, first, out);
        }
    }
}

/* Up to eight rows of c [rows, n] = factor of each row * a [rows, k] by b [k, n] in floats, by two registers of
   columns. */
INLINE void float_block(const int rows, const float* a, ptrdiff_t a_stride, const float* b, ptrdiff_t b_stride,
                        ptrdiff_t k, ptrdiff_t n, const float* factors, float* c, ptrdiff_t c_stride) {
    for (ptrdiff_t column = 0; column < n; column += 2 * LANES) {
        const __mmask16 lanes0 = first_lanes(n - column);
        const __mmask16 lanes1 = n - column > LANES ? first_lanes(n - column - LANES) : 0;
        __m512 sums[8][2];
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) sums[r][0] = sums[r][1] = _mm512_setzero_ps();
        for (ptrdiff_t i = 0; i < k; i++) {
            const float* from = b + i * b_stride + column;
            const __m512 b0 = _mm512_maskz_loadu_ps(lanes0, from), b1 = _mm512_maskz_loadu_ps(lanes1, from + LANES);
#pragma GCC unroll 8
            for (int r = 0; r < rows; r++) {
                const __m512 one = _mm512_set1_ps(a[r * a_stride + i]);
                sums[r][0] = _mm512_fmadd_ps(one, b0, sums[r][0]);
                sums[r][1] = _mm512_fmadd_ps(one, b1, sums[r][1]);
            }
        }
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            const __m512 factor = _mm512_set1_ps(factors[r]);
            _mm512_mask_storeu_ps(c + r * c_stride + column, lanes0, _mm512_mul_ps(sums[r][0], factor));
            _mm512_mask_storeu_ps(c + r * c_stride + column + LANES, lanes1, _mm512_mul_ps(sums[r][1], factor));
        }
    }
}

static void float_product(ptrdiff_t rows, const float* a, ptrdiff_t a_stride, const float* b, ptrdiff_t b_stride,
                          ptrdiff_t k, ptrdiff_t n, const float* factors, float* c, ptrdiff_t c_stride) {
    switch (rows) {
#define CASE(count)                                                               \
    case count:                                                                   \
        float_block(count, a, a_stride, b, b_stride, k, n, factors, c, c_stride); \
        break;
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8)
#undef CASE
    }
}

#endif
