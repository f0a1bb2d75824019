/* The best continuations found so far: the one top-k of this project, for the kernels and for the trie. */
#ifndef ONEBAR_BEST_H
#define ONEBAR_BEST_H

#include <stddef.h>
#include <stdint.h>

/* Sorted by falling sum; of equal sums, the first one that was taken stays ahead. The arrays have `room` entries. */
typedef struct {
    ptrdiff_t room, count;
    float* sums;
    int64_t* tokens;
    int64_t* beams;
} Best;

/* Insert a continuation; where there is no room left, the last one is dropped. */
static inline void take(Best* best, float sum, int64_t token, int64_t beam) {
    ptrdiff_t place = best->count < best->room ? best->count++ : best->room - 1;
    for (; place > 0 && best->sums[place - 1] < sum; place--) {
        best->sums[place] = best->sums[place - 1];
        best->tokens[place] = best->tokens[place - 1];
        best->beams[place] = best->beams[place - 1];
    }
    best->sums[place] = sum;
    best->tokens[place] = token;
    best->beams[place] = beam;
}

#endif
