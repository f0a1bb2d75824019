/* The model as the kernels see it. library.py has the same structures, and compares its layout with this one when it
   loads the kernels; model.py fills them in. */
#ifndef ONEBAR_MODEL_H
#define ONEBAR_MODEL_H

#include <stddef.h>
#include <stdint.h>

/* A linear layer with int8 weights, one scale for each output. Arrays are filled up with zeros to a
   multiple of PANEL outputs (kernels.h). */
typedef struct {
    ptrdiff_t inputs; /* a multiple of GROUP (kernels.h) */
    ptrdiff_t outputs;
    const int8_t* packed;       /* see product.h */
    const int32_t* column_sums; /* of the weights, for the input's zero point */
    const float* scale;
    const float* bias;
    float input_step; /* the input's scale and zero point, in the decoder, where they are constants */
    int32_t input_zero;
} Linear;

typedef struct {
    const float* scale;
    const float* bias;
} Norm;

typedef struct {
    Linear qkv, attention_out, fc1, fc2;
    Norm attention_norm, final_norm;
} EncoderLayer;

typedef struct {
    Linear qkv, attention_out, cross_query, cross_out, fc1, fc2;
    Norm attention_norm, cross_norm, final_norm;
} DecoderLayer;

/* Token and position embeddings of one stack; the table is int8 with one scale for each token. */
typedef struct {
    ptrdiff_t tokens, places; /* rows of `table`, and of `positions` */
    const int8_t* table;
    const float* scale;
    const float* positions;
    Norm norm;
} Embedding;

typedef struct {
    ptrdiff_t width, heads, feed_forward, layers;
    Embedding embedding;
    const EncoderLayer* layer;
    Linear cross; /* keys and values of every decoder layer, side by side */
    ptrdiff_t decoder_layers;
} Encoder;

typedef struct {
    ptrdiff_t width, heads, feed_forward, layers;
    Embedding embedding;
    const DecoderLayer* layer;
    Linear head;
    int64_t watched[2]; /* tokens whose log-probabilities are returned */
} Decoder;

/* The arguments of a step; dimensions and meanings are those of the decoder graph (model_export/decoder_graph.py). */
typedef struct {
    ptrdiff_t requests, beams, keys, source, candidates;
    const int64_t* ids;
    const int64_t* positions;
    const float* scores;
    const int32_t* mask;
    const float* self_bias;
    const float* const* cross; /* key, value of each layer */
    float* const* cache;       /* key, value of each layer */
    float* sums;
    int64_t* tokens;
    int64_t* chosen_beams;
    float* watched_logprobs;
    float* logprobs; /* or NULL */
} Step;

#endif
