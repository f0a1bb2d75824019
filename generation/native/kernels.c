/* The two graphs of a bundle as one call each: encode a source, take a decoder step.

   The same arithmetic as the ONNX graphs (model_export/encoder_graph.py, decoder_graph.py), node for node, in int8 with
   exact sums; floats may differ in their last bits. Every row is computed by itself, so that no request's answer
   depends on which others are in the step. One thread; nothing is allocated: scratch memory is the caller's. */
#include "attention.h"
#include "kernels.h"
#include "product.h"
#include "rows.h"
#include "search.h"

#include <string.h>

#define EPSILON 1e-5f

/* Divides the scratch memory into parts; with `at` NULL it only counts bytes. */
typedef struct {
    char* at;
    size_t used;
} Scratch;

static void* part(Scratch* scratch, size_t bytes) {
    void* from = scratch->at ? scratch->at + scratch->used : NULL;
    scratch->used += (bytes + 63) / 64 * 64;
    return from;
}

static ptrdiff_t up_to_lanes(ptrdiff_t n) { return (n + LANES - 1) / LANES * LANES; }

static void embed(const Embedding* embedding, int64_t id, int64_t position, ptrdiff_t width, float* to) {
    const int8_t* token = embedding->table + id * width;
    const float* place = embedding->positions + position * width;
    const floats scale = same(embedding->scale[id]);
    for (ptrdiff_t i = 0; i < width; i += LANES)
        store_first(width - i, to + i,
                    multiply_add(load_signed_bytes(width - i, token + i), scale, load_first(width - i, place + i)));
    normalize_row(to, to, width, embedding->norm.scale, embedding->norm.bias, EPSILON);
}

static void normalize(float* x, ptrdiff_t rows, ptrdiff_t width, const Norm* norm) {
    for (ptrdiff_t r = 0; r < rows; r++)
        normalize_row(x + r * width, x + r * width, width, norm->scale, norm->bias, EPSILON);
}

static Rounding rounding(float step, int zero) {
    Rounding how = {1.0f / step, zero};
    return how;
}

/* Encoder: an activation is rounded by the range of all its values, as DynamicQuantizeLinear does. */

typedef struct {
    float step;
    int zero;
} Range;

static Range round_all(const float* x, ptrdiff_t count, uint8_t* bytes) {
    float low = 0.0f, high = 0.0f;
    widen_range(x, count, &low, &high);
    Range range = {(high - low) / 255.0f, 0};
    if (range.step == 0.0f) range.step = 1.0f;
    const float zero = nearbyintf(-low / range.step);
    range.zero = zero > 0.0f ? zero < 255.0f ? (int)zero : 255 : 0; /* 0 for NaN */
    round_row(x, bytes, count, rounding(range.step, range.zero));
    return range;
}

static void linear_of_floats(const float* x, ptrdiff_t rows, const Linear* linear, uint8_t* bytes, const Output* out) {
    const Range range = round_all(x, rows * linear->inputs, bytes);
    product(bytes, linear->inputs, rows, linear, range.step, range.zero, out);
}

size_t onebar_encode(const Encoder* model, const int64_t* ids, ptrdiff_t length, float* const* cross, char* memory) {
    const ptrdiff_t width = model->width, wide = model->feed_forward, heads = model->heads, dim = width / heads;
    const ptrdiff_t fused = 3 * width, room = up_to_lanes(length), cross_width = 2 * model->decoder_layers * width;
    Scratch scratch = {memory, 0};
    float* x = part(&scratch, sizeof(float) * length * width);
    float* qkv = part(&scratch, sizeof(float) * length * (fused > cross_width ? fused : cross_width));
    float* context = part(&scratch, sizeof(float) * length * width);
    float* hidden = part(&scratch, sizeof(float) * length * wide);
    uint8_t* bytes = part(&scratch, length * (wide > width ? wide : width));
    float* by_dim = part(&scratch, sizeof(float) * up_to_lanes(dim) * room);
    float* weights = part(&scratch, sizeof(float) * MOST_QUERIES * room);
    if (!memory) return scratch.used;

    for (ptrdiff_t i = 0; i < length; i++) embed(&model->embedding, ids[i], i, width, x + i * width);
    for (ptrdiff_t l = 0; l < model->layers; l++) {
        const EncoderLayer* layer = model->layer + l;
        const Output to_qkv = {.floats = qkv, .floats_stride = fused};
        linear_of_floats(x, length, &layer->qkv, bytes, &to_qkv);
        for (ptrdiff_t h = 0; h < heads; h++) {
            const float* query = qkv + h * dim;
            transpose_keys(query + width, fused, length, dim, by_dim, room);
            attend(query, fused, length, by_dim, room, query + 2 * width, fused, length, dim, weights,
                   context + h * dim, width);
        }
        const Output back = {.floats = x, .floats_stride = width, .residual = x};
        linear_of_floats(context, length, &layer->attention_out, bytes, &back);
        normalize(x, length, width, &layer->attention_norm);
        const Output to_hidden = {.floats = hidden, .floats_stride = wide, .gelu = 1};
        linear_of_floats(x, length, &layer->fc1, bytes, &to_hidden);
        linear_of_floats(hidden, length, &layer->fc2, bytes, &back);
        normalize(x, length, width, &layer->final_norm);
    }
    const Output to_cross = {.floats = qkv, .floats_stride = cross_width};
    linear_of_floats(x, length, &model->cross, bytes, &to_cross);
    for (ptrdiff_t p = 0; p < 2 * model->decoder_layers; p++)
        for (ptrdiff_t h = 0; h < heads; h++)
            for (ptrdiff_t i = 0; i < length; i++)
                memcpy(cross[p] + (h * length + i) * dim, qkv + i * cross_width + p * width + h * dim,
                       sizeof(float) * dim);
    return scratch.used;
}

/* Decoder: activations are rounded by constants. */

static void linear_of_rows(const float* x, ptrdiff_t rows, const Linear* linear, uint8_t* bytes, const Output* out) {
    round_row(x, bytes, rows * linear->inputs, rounding(linear->input_step, linear->input_zero));
    product(bytes, linear->inputs, rows, linear, linear->input_step, linear->input_zero, out);
}

/* The keys that belong to a beam's past are those whose bias is no large negative number. */
static ptrdiff_t list_past(const float* bias, ptrdiff_t keys, int32_t* listed) {
    ptrdiff_t count = 0;
    for (ptrdiff_t i = 0; i < keys; i++) {
        listed[count] = (int32_t)i;
        count += bias[i] > -1e8f;
    }
    return count;
}

static ptrdiff_t source_length(const int32_t* mask, ptrdiff_t room) {
    ptrdiff_t length = 0;
    while (length < room && mask[length]) length++;
    return length;
}

size_t onebar_step(const Decoder* model, const Step* s, char* memory) {
    const ptrdiff_t width = model->width, wide = model->feed_forward, heads = model->heads, dim = width / heads;
    const ptrdiff_t beams = s->beams, rows = s->requests * beams, keys = s->keys, fused = 3 * width,
                    vocabulary = model->head.outputs;
    const ptrdiff_t room = up_to_lanes(s->source), listed_room = up_to_lanes(keys);
    Scratch scratch = {memory, 0};
    float* x = part(&scratch, sizeof(float) * rows * width);
    float* qkv = part(&scratch, sizeof(float) * rows * fused);
    float* context = part(&scratch, sizeof(float) * rows * width);
    uint8_t* bytes = part(&scratch, rows * width);
    uint8_t* hidden = part(&scratch, rows * wide);
    int32_t* listed = part(&scratch, sizeof(int32_t) * rows * listed_room);
    ptrdiff_t* counts = part(&scratch, sizeof(ptrdiff_t) * rows);
    float* by_dim = part(&scratch, sizeof(float) * up_to_lanes(dim) * room);
    float* weights = part(&scratch, sizeof(float) * MOST_QUERIES * (room > listed_room ? room : listed_room));
    float* one_logits = part(&scratch, s->logprobs ? 0 : sizeof(float) * beams * vocabulary);
    if (!memory) return scratch.used;

    for (ptrdiff_t r = 0; r < rows; r++) {
        embed(&model->embedding, s->ids[r], s->positions[r / beams], width, x + r * width);
        counts[r] = list_past(s->self_bias + r * keys, keys, listed + r * listed_room);
    }
    for (ptrdiff_t l = 0; l < model->layers; l++) {
        const DecoderLayer* layer = model->layer + l;
        const Output to_qkv = {.floats = qkv, .floats_stride = fused};
        const Output back = {.floats = x, .floats_stride = width, .residual = x};
        linear_of_rows(x, rows, &layer->qkv, bytes, &to_qkv);
        for (ptrdiff_t r = 0; r < s->requests; r++) {
            for (ptrdiff_t h = 0; h < heads; h++) {
                /* [keys, dim] of this request and head; the key of beam b at position p is number p * beams + b. */
                float* key = s->cache[2 * l] + (r * heads + h) * keys * dim;
                float* value = s->cache[2 * l + 1] + (r * heads + h) * keys * dim;
                for (ptrdiff_t b = 0; b < beams; b++) {
                    const float* made = qkv + (r * beams + b) * fused + h * dim;
                    const ptrdiff_t place = (s->positions[r] * beams + b) * dim;
                    memcpy(key + place, made + width, sizeof(float) * dim);
                    memcpy(value + place, made + 2 * width, sizeof(float) * dim);
                }
                for (ptrdiff_t b = 0; b < beams; b++) {
                    const ptrdiff_t row = r * beams + b;
                    attend_to_some(qkv + row * fused + h * dim, key, value, listed + row * listed_room, counts[row],
                                   dim, weights, context + row * width + h * dim);
                }
            }
        }
        linear_of_rows(context, rows, &layer->attention_out, bytes, &back);
        normalize(x, rows, width, &layer->attention_norm);
        const Output to_query = {.floats = qkv, .floats_stride = width};
        linear_of_rows(x, rows, &layer->cross_query, bytes, &to_query);
        for (ptrdiff_t r = 0; r < s->requests; r++) {
            const ptrdiff_t length = source_length(s->mask + r * s->source, s->source), own_room = up_to_lanes(length);
            for (ptrdiff_t h = 0; h < heads; h++) {
                const ptrdiff_t place = (r * heads + h) * s->source * dim;
                transpose_keys(s->cross[2 * l] + place, dim, length, dim, by_dim, own_room);
                attend(qkv + r * beams * width + h * dim, width, beams, by_dim, own_room, s->cross[2 * l + 1] + place,
                       dim, length, dim, weights, context + r * beams * width + h * dim, width);
            }
        }
        linear_of_rows(context, rows, &layer->cross_out, bytes, &back);
        normalize(x, rows, width, &layer->cross_norm);
        const Output to_hidden = {.gelu = 1,
                                  .bytes = hidden,
                                  .bytes_stride = wide,
                                  .rounding = rounding(layer->fc2.input_step, layer->fc2.input_zero)};
        linear_of_rows(x, rows, &layer->fc1, bytes, &to_hidden);
        product(hidden, wide, rows, &layer->fc2, layer->fc2.input_step, layer->fc2.input_zero, &back);
        normalize(x, rows, width, &layer->final_norm);
    }
    /* Request by request, so that logits are still in the second-level cache when they are searched. */
    for (ptrdiff_t r = 0; r < s->requests; r++) {
        float* logits = s->logprobs ? s->logprobs + r * beams * vocabulary : one_logits;
        const Output to_logits = {.floats = logits, .floats_stride = vocabulary};
        linear_of_rows(x + r * beams * width, beams, &model->head, bytes, &to_logits);
        Best best = {s->candidates, 0, s->sums + r * s->candidates, s->tokens + r * s->candidates,
                     s->chosen_beams + r * s->candidates};
        int failed = 0;
        for (ptrdiff_t b = 0; b < beams; b++) {
            const ptrdiff_t row = r * beams + b;
            float* of_row = logits + b * vocabulary;
            const float total = log_sum_exp(of_row, vocabulary);
            failed |= isnan(total);
            for (int w = 0; w < 2; w++) s->watched_logprobs[2 * row + w] = of_row[model->watched[w]] - total;
            if (s->scores[row] > -INFINITY) take_from_row(&best, of_row, vocabulary, total, s->scores[row], b);
            if (s->logprobs)
                for (ptrdiff_t i = 0; i < vocabulary; i++) of_row[i] -= total;
        }
        for (ptrdiff_t i = best.count; i < best.room; i++) {
            best.sums[i] = -INFINITY;
            best.tokens[i] = best.beams[i] = 0;
        }
        if (failed) best.sums[0] = NAN;
    }
    return scratch.used;
}

void onebar_pack(const int8_t* weight, ptrdiff_t inputs, ptrdiff_t outputs, int8_t* packed, int32_t* column_sums) {
    for (ptrdiff_t n = 0; n < (outputs + PANEL - 1) / PANEL * PANEL; n++) {
        int32_t sum = 0;
        int8_t* column = packed + n / PANEL * PANEL * inputs + n % PANEL * GROUP;
        for (ptrdiff_t k = 0; k < inputs; k++) {
            const int8_t w = n < outputs ? weight[k * outputs + n] : 0;
            column[k / GROUP * GROUP * PANEL + k % GROUP] = w;
            sum += w;
        }
        column_sums[n] = sum;
    }
}
