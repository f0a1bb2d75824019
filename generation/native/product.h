/* Products with a fixed matrix: unsigned bytes by signed bytes, summed exactly in 32 bits, and small float ones.

   The fixed matrix is packed once: panels of 32 output columns, in each panel four input rows after four, so that one
   register of 64 bytes holds what one VNNI instruction multiplies: 16 columns by 4 rows. */
#ifndef ONEBAR_PRODUCT_H
#define ONEBAR_PRODUCT_H

#ifdef __AVX512F__
#include "product_vnni.h"
#define FLOAT_ROWS 8
#else
#include "product_avx2.h"
#define FLOAT_ROWS 2 /* eight registers of sums */
#endif

/* out = bytes [rows, stride] by the linear layer. The bytes stand for (byte - zero) * step. */
static void product(const uint8_t* x, ptrdiff_t stride, ptrdiff_t rows, const Linear* linear, float step, int zero,
                    const Output* out) {
    static void (*const block_of[])(const uint8_t*, ptrdiff_t, const Linear*, ptrdiff_t, float, int, ptrdiff_t,
                                    const Output*) = {NULL, BLOCKS};
    const ptrdiff_t blocks = (rows + MOST_ROWS - 1) / MOST_ROWS;
    for (ptrdiff_t column = 0; column < linear->outputs; column += PANEL) {
        /* The panel stays in the first-level cache while all rows are multiplied. */
        for (ptrdiff_t block = 0; block < blocks; block++) {
            const ptrdiff_t first = block * rows / blocks, count = (block + 1) * rows / blocks - first;
            block_of[count](x + first * stride, stride, linear, column, step, zero, first, out);
        }
    }
}

/* Up to FLOAT_ROWS rows and two registers of columns of c = factor of each row * a [rows, k] by b [k, left]. */
INLINE void float_columns(const int rows, const ptrdiff_t left, const float* a, ptrdiff_t a_stride, const float* b,
                          ptrdiff_t b_stride, ptrdiff_t k, const float* factors, float* c, ptrdiff_t c_stride) {
    floats sums[FLOAT_ROWS][2];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) sums[r][0] = sums[r][1] = zeros();
    for (ptrdiff_t i = 0; i < k; i++) {
        const float* from = b + i * b_stride;
        const floats b0 = load_first(left, from);
        const floats b1 = left > LANES ? load_first(left - LANES, from + LANES) : zeros();
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            const floats one = same(a[r * a_stride + i]);
            sums[r][0] = multiply_add(one, b0, sums[r][0]);
            sums[r][1] = multiply_add(one, b1, sums[r][1]);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        const floats factor = same(factors[r]);
        store_first(left, c + r * c_stride, multiply(sums[r][0], factor));
        if (left > LANES) store_first(left - LANES, c + r * c_stride + LANES, multiply(sums[r][1], factor));
    }
}

INLINE void float_block(const int rows, const float* a, ptrdiff_t a_stride, const float* b, ptrdiff_t b_stride,
                        ptrdiff_t k, ptrdiff_t n, const float* factors, float* c, ptrdiff_t c_stride) {
    ptrdiff_t column = 0;
    for (; column + 2 * LANES <= n; column += 2 * LANES)
        float_columns(rows, 2 * LANES, a, a_stride, b + column, b_stride, k, factors, c + column, c_stride);
    if (column < n)
        float_columns(rows, n - column, a, a_stride, b + column, b_stride, k, factors, c + column, c_stride);
}

/* c [rows, n] = factor of each row * a [rows, k] by b [k, n] in floats. */
static void float_product(ptrdiff_t rows, const float* a, ptrdiff_t a_stride, const float* b, ptrdiff_t b_stride,
                          ptrdiff_t k, ptrdiff_t n, const float* factors, float* c, ptrdiff_t c_stride) {
    for (; rows > 0;
         rows -= FLOAT_ROWS, a += FLOAT_ROWS * a_stride, c += FLOAT_ROWS * c_stride, factors += FLOAT_ROWS) {
        switch (rows < FLOAT_ROWS ? rows : FLOAT_ROWS) {
#define CASE(count)                                                               \
    case count:                                                                   \
        float_block(count, a, a_stride, b, b_stride, k, n, factors, c, c_stride); \
        break;
            CASE(1)
            CASE(2)
#if FLOAT_ROWS > 2
            CASE(3)
            CASE(4)
            CASE(5)
            CASE(6)
            CASE(7)
            CASE(8)
#endif
#undef CASE
        }
    }
}

#endif
