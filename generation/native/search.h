/* From logits to the best continuations of a request. */
#ifndef ONEBAR_SEARCH_H
#define ONEBAR_SEARCH_H

#include "best.h"
#include "rows.h"

/* log(sum(exp(row))) of n floats; NaN where one of them is NaN. */
static float log_sum_exp(const float* row, ptrdiff_t n) {
    const __m512 none = _mm512_set1_ps(-INFINITY);
    __m512 most0 = none, most1 = none;
    for (ptrdiff_t i = 0; i < n; i += 2 * LANES) {
        most0 = _mm512_max_ps(most0, _mm512_mask_loadu_ps(none, first_lanes(n - i), row + i));
        if (n - i > LANES)
            most1 = _mm512_max_ps(most1, _mm512_mask_loadu_ps(none, first_lanes(n - i - LANES), row + i + LANES));
    }
    const float top = _mm512_reduce_max_ps(_mm512_max_ps(most0, most1));
    const __m512 shift = _mm512_set1_ps(top);
    __m512 sum0 = _mm512_setzero_ps(), sum1 = _mm512_setzero_ps();
    for (ptrdiff_t i = 0; i < n; i += 2 * LANES) {
        sum0 =
            _mm512_add_ps(sum0, exp16(_mm512_sub_ps(_mm512_mask_loadu_ps(none, first_lanes(n - i), row + i), shift)));
        if (n - i > LANES)
            sum1 = _mm512_add_ps(
                sum1,
                exp16(_mm512_sub_ps(_mm512_mask_loadu_ps(none, first_lanes(n - i - LANES), row + i + LANES), shift)));
    }
    return top + logf(_mm512_reduce_add_ps(_mm512_add_ps(sum0, sum1)));
}

/* Take from a beam's logits [n] all continuations that are better than the worst of `best`. */
static void take_from_row(Best* best, const float* logits, ptrdiff_t n, float log_total, float score, int64_t beam) {
    const __m512 none = _mm512_set1_ps(-INFINITY), total = _mm512_set1_ps(log_total), before = _mm512_set1_ps(score);
    float bar = best->count < best->room ? -INFINITY : best->sums[best->room - 1];
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        __m512 sum =
            _mm512_add_ps(_mm512_sub_ps(_mm512_mask_loadu_ps(none, first_lanes(n - i), logits + i), total), before);
        __mmask16 better = _mm512_cmp_ps_mask(sum, _mm512_set1_ps(bar), _CMP_GT_OQ);
        if (__builtin_expect(!better, 1)) continue;
        float values[LANES];
        _mm512_storeu_ps(values, sum);
        for (; better; better &= better - 1) {
            int lane = __builtin_ctz(better);
            if (values[lane] > bar) {
                take(best, values[lane], i + lane, beam);
                if (best->count == best->room) bar = best->sums[best->room - 1];
            }
        }
    }
}

#endif
