/* The product by AVX2. Its instruction for bytes saturates at 16 bits, so bytes become 16 bits, which are multiplied in
   pairs, exactly. A panel is taken eight columns at a time, whose groups of four rows fill two registers. */
#ifndef ONEBAR_PRODUCT_AVX2_H
#define ONEBAR_PRODUCT_AVX2_H

#include "output.h"

#define MOST_ROWS 4 /* 8 registers of sums */
#define INPUTS_AT_ONCE 256
#define EIGHTS (PANEL / 8)

/* sums += the products of pairs. In assembly: around the intrinsic, gcc 12 copies the sums, which halves the speed. */
#define ADD_TO(sums, more) __asm__("vpaddd %1, %0, %0" : "+x"(sums) : "x"(more))

/* Sums of up to MOST_ROWS rows by eight columns. A column has two of them side by side until the end: of the first and of
   the last two rows of all groups. */
typedef struct {
    __m256i left[MOST_ROWS], right[MOST_ROWS]; /* columns 0 to 3, 4 to 7 */
} Eight;

INLINE void widen(const uint8_t* from, ptrdiff_t count, int16_t* to) {
    ptrdiff_t i = 0;
    for (; i + 16 <= count; i += 16)
        _mm256_storeu_si256((__m256i*)(to + i), _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i*)(from + i))));
    for (; i < count; i++) to[i] = from[i];
}

INLINE void add_products(const int rows, const int16_t (*x)[INPUTS_AT_ONCE], ptrdiff_t count, const int8_t* w,
                         Eight* eight) {
    __m256i left[MOST_ROWS], right[MOST_ROWS];
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) left[r] = eight->left[r], right[r] = eight->right[r];
    for (ptrdiff_t k = 0; k < count; k += GROUP, w += PANEL * GROUP) {
        const __m256i w0 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i*)w));
        const __m256i w1 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i*)(w + 16)));
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) {
            int64_t words;
            memcpy(&words, x[r] + k, sizeof words);
            const __m256i four = _mm256_set1_epi64x(words);
            ADD_TO(left[r], _mm256_madd_epi16(four, w0));
            ADD_TO(right[r], _mm256_madd_epi16(four, w1));
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) eight->left[r] = left[r], eight->right[r] = right[r];
}

INLINE void rows_by_panel(const int rows, const uint8_t* x, ptrdiff_t stride, const Linear* linear, ptrdiff_t column,
                          float step, int zero, ptrdiff_t first_row, const Output* out) {
    Eight sums[EIGHTS];
    int16_t wide[MOST_ROWS][INPUTS_AT_ONCE];
    memset(sums, 0, sizeof sums);
    for (ptrdiff_t first = 0; first < linear->inputs; first += INPUTS_AT_ONCE) {
        const ptrdiff_t left = linear->inputs - first, count = left < INPUTS_AT_ONCE ? left : INPUTS_AT_ONCE;
        for (int r = 0; r < rows; r++) widen(x + r * stride + first, count, wide[r]);
        const int8_t* w = linear->packed + column * linear->inputs + first * PANEL;
        for (int e = 0; e < EIGHTS; e++) add_products(rows, wide, count, w + e * 8 * GROUP, sums + e);
    }
    for (int half = 0; half < PANEL / LANES; half++) {
        const ptrdiff_t at = column + half * LANES;
        const ints start = multiply_ints(same_int(-zero), load_ints(linear->column_sums + at));
        const floats factor = multiply(same(step), load(linear->scale + at)), bias = load(linear->bias + at);
        const Eight *a = sums + 2 * half, *b = a + 1;
        for (int r = 0; r < rows; r++) {
            const __m256i low = _mm256_permute4x64_epi64(_mm256_hadd_epi32(a->left[r], a->right[r]), 0xd8);
            const __m256i high = _mm256_permute4x64_epi64(_mm256_hadd_epi32(b->left[r], b->right[r]), 0xd8);
            const ints total = {_mm256_add_epi32(low, start.low), _mm256_add_epi32(high, start.high)};
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
