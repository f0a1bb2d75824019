/* The product by AVX2. Its instruction for bytes saturates at 16 bits, so bytes become 16 bits, which are multiplied in
   pairs, exactly. A panel is taken eight columns at a time, whose groups of four rows fill two registers. */
#ifndef ONEBAR_PRODUCT_AVX2_H
#define ONEBAR_PRODUCT_AVX2_H

#include "output.h"

#define MOST_ROWS 4 /* 8 registers of sums, for the halves of eight columns */

/* A column has two sums side by side until the end: of the first and of the last two rows of all groups. */
INLINE void rows_by_panel(const int rows, const uint8_t* x, ptrdiff_t stride, const Linear* linear, ptrdiff_t column,
                          float step, int zero, ptrdiff_t first_row, const Output* out) {
    const __m256i to_words = _mm256_setr_epi8(0, -1, 1, -1, 2, -1, 3, -1, 0, -1, 1, -1, 2, -1, 3, -1, 0, -1, 1, -1, 2,
                                              -1, 3, -1, 0, -1, 1, -1, 2, -1, 3, -1);
    __m256i sums[MOST_ROWS][PANEL / 8];
    for (int eight = 0; eight < PANEL / 8; eight++) {
        __m256i left[MOST_ROWS], right[MOST_ROWS];
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) left[r] = right[r] = _mm256_setzero_si256();
        const int8_t* w = linear->packed + column * linear->inputs + eight * 8 * GROUP;
        for (ptrdiff_t k = 0; k < linear->inputs; k += GROUP, w += PANEL * GROUP) {
            const __m256i w0 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i*)w));
            const __m256i w1 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i*)(w + 16)));
#pragma GCC unroll 4
            for (int r = 0; r < rows; r++) {
                int32_t bytes;
                memcpy(&bytes, x + r * stride + k, sizeof bytes);
                const __m256i four = _mm256_shuffle_epi8(_mm256_set1_epi32(bytes), to_words);
                left[r] = _mm256_add_epi32(left[r], _mm256_madd_epi16(four, w0));
                right[r] = _mm256_add_epi32(right[r], _mm256_madd_epi16(four, w1));
            }
        }
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++)
            sums[r][eight] = _mm256_permute4x64_epi64(_mm256_hadd_epi32(left[r], right[r]), 0xd8);
    }
    for (int half = 0; half < PANEL / LANES; half++) {
        const ptrdiff_t at = column + half * LANES;
        const ints start = multiply_ints(same_int(-zero), load_ints(linear->column_sums + at));
        const floats factor = multiply(same(step), load(linear->scale + at)), bias = load(linear->bias + at);
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) {
            const ints total = {_mm256_add_epi32(sums[r][2 * half], start.low),
                                _mm256_add_epi32(sums[r][2 * half + 1], start.high)};
            finish(total, factor, bias, out, first_row + r, at, linear->outputs - at);
        }
    }
}

#define DEFINE_BLOCK(rows)                                                                                    \
    static void product_of_##rows(const uint8_t* x, ptrdiff_t stride, const Linear* linear, ptrdiff_t column, \
                                  float step, int zero, ptrdiff_t first_row, const Output* out) {             \
        rows_by_panel(rows, x, stride, linear, column, step, zero, first_row, out);                           \
    }
DEFINE_BLOCK(1)
DEFINE_BLOCK(2)
DEFINE_BLOCK(3)
DEFINE_BLOCK(4)

#define BLOCKS product_of_1, product_of_2, product_of_3, product_of_4

#endif
