/* From logits to the best continuations of a request. */
#ifndef ONEBAR_SEARCH_H
#define ONEBAR_SEARCH_H

#include "best.h"
#include "rows.h"

/* log(sum(exp(row))) of n floats; NaN where one of them is NaN. */
static float log_sum_exp(const float* row, ptrdiff_t n) {
    const floats none = same(-INFINITY);
    floats most0 = none, most1 = none;
    for (ptrdiff_t i = 0; i < n; i += 2 * LANES) {
        most0 = larger(most0, load_first_or(none, n - i, row + i));
        if (n - i > LANES) most1 = larger(most1, load_first_or(none, n - i - LANES, row + i + LANES));
    }
    const float top = largest_of(larger(most0, most1));
    const floats shift = same(top);
    floats sum0 = zeros(), sum1 = zeros();
    for (ptrdiff_t i = 0; i < n; i += 2 * LANES) {
        sum0 = add(sum0, exp16(subtract(load_first_or(none, n - i, row + i), shift)));
        if (n - i > LANES)
            sum1 = add(sum1, exp16(subtract(load_first_or(none, n - i - LANES, row + i + LANES), shift)));
    }
    return top + logf(sum_of(add(sum0, sum1)));
}

/* Take from a beam's logits [n] all continuations that are better than the worst of `best`. */
static void take_from_row(Best* best, const float* logits, ptrdiff_t n, float log_total, float score, int64_t beam) {
    const floats none = same(-INFINITY), total = same(log_total), before = same(score);
    float bar = best->count < best->room ? -INFINITY : best->sums[best->room - 1];
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        floats sum = add(subtract(load_first_or(none, n - i, logits + i), total), before);
        unsigned better = above(sum, bar);
        if (__builtin_expect(!better, 1)) continue;
        float values[LANES];
        store(values, sum);
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
