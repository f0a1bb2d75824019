/* The product by VNNI, which multiplies four unsigned by four signed bytes and adds the sum to 32 bits, exactly. */
#ifndef ONEBAR_PRODUCT_VNNI_H
#define ONEBAR_PRODUCT_VNNI_H

#include "output.h"

#define MOST_ROWS 8 /* 16 registers of sums: enough to hide the latency of the instruction, and eight beams at once */

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
#define FINISH(r)                                                           \
    finish(left##r, factor0, bias0, out, first_row + (r), column, outputs); \
    finish(right##r, factor1, bias1, out, first_row + (r), column + LANES, outputs - LANES);

#define DEFINE_BLOCK(rows)                                                                                    \
    static void product_of_##rows(const uint8_t* x, ptrdiff_t stride, const Linear* linear, ptrdiff_t column, \
                                  float step, int zero, ptrdiff_t first_row, const Output* out) {             \
        const ints below = same_int(-zero);                                                                   \
        const ints start0 = multiply_ints(below, load_ints(linear->column_sums + column));                    \
        const ints start1 = multiply_ints(below, load_ints(linear->column_sums + column + LANES));            \
        ROWS_##rows(DECLARE);                                                                                 \
        const int8_t* w = linear->packed + column * linear->inputs;                                           \
        for (ptrdiff_t k = 0; k < linear->inputs; k += GROUP, w += PANEL * GROUP) {                           \
            const __m512i w0 = _mm512_loadu_si512(w), w1 = _mm512_loadu_si512(w + PANEL * GROUP / 2);         \
            ROWS_##rows(ADD)                                                                                  \
        }                                                                                                     \
        const ptrdiff_t outputs = linear->outputs - column;                                                   \
        const floats steps = same(step);                                                                      \
        const floats factor0 = multiply(steps, load(linear->scale + column));                                 \
        const floats factor1 = multiply(steps, load(linear->scale + column + LANES));                         \
        const floats bias0 = load(linear->bias + column), bias1 = load(linear->bias + column + LANES);        \
        ROWS_##rows(FINISH)                                                                                   \
    }
DEFINE_BLOCK(1)
DEFINE_BLOCK(2)
DEFINE_BLOCK(3)
DEFINE_BLOCK(4)
DEFINE_BLOCK(5)
DEFINE_BLOCK(6)
DEFINE_BLOCK(7)
DEFINE_BLOCK(8)

#define BLOCKS \
    product_of_1, product_of_2, product_of_3, product_of_4, product_of_5, product_of_6, product_of_7, product_of_8

#endif
