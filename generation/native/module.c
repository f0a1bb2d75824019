/* The Python module of the kernels, and the only way into them.

   Arguments are buffers: numpy arrays, and the ctypes structures of library.py, which mirror model.h. Their sizes and
   all ids are checked here, so that no argument makes a kernel read or write out of bounds of what it was given. The
   addresses inside the structures are set by model.py and sessions.py and are trusted. The GIL is released while a
   kernel computes. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "kernels.h"

#define MOST_CROSS \
    256 /* arrays: twice the most decoder layers (generation/bundle/architecture.py), and room to spare */

/* A buffer of an argument; `view.obj` is NULL where none is held. */
typedef struct {
    Py_buffer view;
} Argument;

static int open_argument(PyObject* object, int flags, Argument* argument) {
    return PyObject_GetBuffer(object, &argument->view, flags) == 0;
}

static void close_argument(Argument* argument) {
    if (argument->view.obj) PyBuffer_Release(&argument->view);
}

/* Get a buffer of at least `least` bytes; on failure an exception is set. */
static int open_sized(PyObject* object, int flags, size_t least, const char* name, Argument* argument) {
    if (!open_argument(object, flags, argument)) return 0;
    if ((size_t)argument->view.len >= least) return 1;
    PyErr_Format(PyExc_ValueError, "%s has %zd bytes and needs %zu", name, argument->view.len, least);
    return 0;
}

/* Get a structure, which must have exactly the size that it has here. */
static const void* open_structure(PyObject* object, size_t size, const char* name, Argument* argument) {
    if (!open_argument(object, PyBUF_SIMPLE, argument)) return NULL;
    if ((size_t)argument->view.len == size) return argument->view.buf;
    PyErr_Format(PyExc_TypeError, "%s has %zd bytes and its structure has %zu", name, argument->view.len, size);
    return NULL;
}

static int given_are(Py_ssize_t given, Py_ssize_t expected, const char* name) {
    if (given == expected) return 1;
    PyErr_Format(PyExc_TypeError, "%s takes %zd arguments, got %zd", name, expected, given);
    return 0;
}

static int in_range(const int64_t* values, ptrdiff_t count, ptrdiff_t end, const char* name) {
    for (ptrdiff_t i = 0; i < count; i++) {
        if (values[i] >= 0 && values[i] < end) continue;
        PyErr_Format(PyExc_IndexError, "%s %lld is not from 0 to below %zd", name, (long long)values[i], end);
        return 0;
    }
    return 1;
}

static PyObject* pack(PyObject* self, PyObject* const* args, Py_ssize_t given) {
    (void)self;
    if (!given_are(given, 3, "pack")) return NULL;
    Argument weight = {{0}}, packed = {{0}}, sums = {{0}};
    PyObject* result = NULL;
    if (!open_argument(args[0], PyBUF_C_CONTIGUOUS | PyBUF_ND, &weight)) goto done;
    if (weight.view.ndim != 2 || weight.view.itemsize != 1) {
        PyErr_SetString(PyExc_ValueError, "weights must be bytes [inputs, outputs]");
        goto done;
    }
    const ptrdiff_t inputs = weight.view.shape[0], outputs = weight.view.shape[1];
    const size_t room = (size_t)((outputs + PANEL - 1) / PANEL * PANEL);
    if (inputs % GROUP) {
        PyErr_Format(PyExc_ValueError, "inputs must be a multiple of %d, got %zd", GROUP, inputs);
        goto done;
    }
    if (!open_sized(args[1], PyBUF_WRITABLE, room * (size_t)inputs, "packed", &packed)) goto done;
    if (!open_sized(args[2], PyBUF_WRITABLE, room * sizeof(int32_t), "column sums", &sums)) goto done;
    onebar_pack(weight.view.buf, inputs, outputs, packed.view.buf, sums.view.buf);
    result = Py_NewRef(Py_None);
done:
    close_argument(&weight);
    close_argument(&packed);
    close_argument(&sums);
    return result;
}

static PyObject* encode_scratch(PyObject* self, PyObject* const* args, Py_ssize_t given) {
    (void)self;
    if (!given_are(given, 2, "encode_scratch")) return NULL;
    Argument structure = {{0}};
    PyObject* result = NULL;
    const Encoder* model = open_structure(args[0], sizeof(Encoder), "the encoder", &structure);
    const Py_ssize_t length = model ? PyLong_AsSsize_t(args[1]) : -1;
    if (model && !PyErr_Occurred()) {
        if (length < 1 || length > model->embedding.places)
            PyErr_Format(PyExc_ValueError, "a source has 1 to %zd tokens, got %zd", model->embedding.places, length);
        else
            result = PyLong_FromSize_t(onebar_encode(model, NULL, length, NULL, NULL));
    }
    close_argument(&structure);
    return result;
}

static PyObject* encode(PyObject* self, PyObject* const* args, Py_ssize_t given) {
    (void)self;
    if (!given_are(given, 4, "encode")) return NULL;
    Argument structure = {{0}}, ids = {{0}}, scratch = {{0}}, cross[MOST_CROSS] = {{{0}}};
    float* addresses[MOST_CROSS];
    PyObject* result = NULL;
    const Encoder* model = open_structure(args[0], sizeof(Encoder), "the encoder", &structure);
    if (!model || !open_argument(args[1], PyBUF_SIMPLE, &ids)) goto done;
    const ptrdiff_t length = ids.view.len / (ptrdiff_t)sizeof(int64_t), arrays = 2 * model->decoder_layers;
    if (length < 1 || length > model->embedding.places) {
        PyErr_Format(PyExc_ValueError, "a source has 1 to %zd tokens, got %zd", model->embedding.places, length);
        goto done;
    }
    if (!in_range(ids.view.buf, length, model->embedding.tokens, "token id")) goto done;
    if (!PyList_Check(args[2]) || PyList_GET_SIZE(args[2]) != arrays || arrays > MOST_CROSS) {
        PyErr_Format(PyExc_ValueError, "expected a list of %zd cross-attention arrays, at most %d", arrays, MOST_CROSS);
        goto done;
    }
    for (ptrdiff_t i = 0; i < arrays; i++) {
        const size_t bytes = sizeof(float) * (size_t)(length * model->width);
        if (!open_sized(PyList_GET_ITEM(args[2], i), PyBUF_WRITABLE, bytes, "a cross-attention array", &cross[i]))
            goto done;
        addresses[i] = cross[i].view.buf;
    }
    if (!open_sized(args[3], PyBUF_WRITABLE, onebar_encode(model, NULL, length, NULL, NULL), "scratch memory",
                    &scratch))
        goto done;
    Py_BEGIN_ALLOW_THREADS;
    onebar_encode(model, ids.view.buf, length, addresses, scratch.view.buf);
    Py_END_ALLOW_THREADS;
    result = Py_NewRef(Py_None);
done:
    close_argument(&structure);
    close_argument(&ids);
    close_argument(&scratch);
    for (ptrdiff_t i = 0; i < MOST_CROSS && cross[i].view.obj; i++) close_argument(&cross[i]);
    return result;
}

/* Whether a step's dimensions and ids lie within the model; with an exception set where they do not. */
static int step_is_sound(const Decoder* model, const Step* step) {
    if (step->requests < 1 || step->beams < 1 || step->source < 1 || step->candidates < 1 || step->keys < step->beams) {
        PyErr_SetString(PyExc_ValueError, "a dimension of the step is not positive");
        return 0;
    }
    const ptrdiff_t room = step->keys / step->beams;
    return in_range(step->ids, step->requests * step->beams, model->embedding.tokens, "token id") &&
           in_range(step->positions, step->requests, room < model->embedding.places ? room : model->embedding.places,
                    "position");
}

static PyObject* step_scratch(PyObject* self, PyObject* const* args, Py_ssize_t given) {
    (void)self;
    if (!given_are(given, 2, "step_scratch")) return NULL;
    Argument decoder = {{0}}, arguments = {{0}};
    PyObject* result = NULL;
    const Decoder* model = open_structure(args[0], sizeof(Decoder), "the decoder", &decoder);
    const Step* step = model ? open_structure(args[1], sizeof(Step), "the step", &arguments) : NULL;
    if (step) result = PyLong_FromSize_t(onebar_step(model, step, NULL));
    close_argument(&decoder);
    close_argument(&arguments);
    return result;
}

static PyObject* step(PyObject* self, PyObject* const* args, Py_ssize_t given) {
    (void)self;
    if (!given_are(given, 3, "step")) return NULL;
    Argument decoder = {{0}}, arguments = {{0}}, scratch = {{0}};
    PyObject* result = NULL;
    const Decoder* model = open_structure(args[0], sizeof(Decoder), "the decoder", &decoder);
    const Step* taken = model ? open_structure(args[1], sizeof(Step), "the step", &arguments) : NULL;
    if (!taken || !step_is_sound(model, taken)) goto done;
    if (!open_sized(args[2], PyBUF_WRITABLE, onebar_step(model, taken, NULL), "scratch memory", &scratch)) goto done;
    Py_BEGIN_ALLOW_THREADS;
    onebar_step(model, taken, scratch.view.buf);
    Py_END_ALLOW_THREADS;
    result = Py_NewRef(Py_None);
done:
    close_argument(&decoder);
    close_argument(&arguments);
    close_argument(&scratch);
    return result;
}

/* Where the compiler put each field of the structures, for library.py to compare with its own. */
typedef struct {
    const char *structure, *field;
    size_t offset, size;
} Place;

#define PLACE(structure, field) {#structure, #field, offsetof(structure, field), sizeof(((structure*)0)->field)},
#define WHOLE(structure) {#structure, "", 0, sizeof(structure)},

static const Place places[] = {
    /* clang-format off */
    WHOLE(Linear)
    PLACE(Linear, inputs) PLACE(Linear, outputs) PLACE(Linear, packed) PLACE(Linear, column_sums)
    PLACE(Linear, scale) PLACE(Linear, bias) PLACE(Linear, input_step) PLACE(Linear, input_zero)
    WHOLE(Norm)
    PLACE(Norm, scale) PLACE(Norm, bias)
    WHOLE(EncoderLayer)
    PLACE(EncoderLayer, qkv) PLACE(EncoderLayer, attention_out) PLACE(EncoderLayer, fc1) PLACE(EncoderLayer, fc2)
    PLACE(EncoderLayer, attention_norm) PLACE(EncoderLayer, final_norm)
    WHOLE(DecoderLayer)
    PLACE(DecoderLayer, qkv) PLACE(DecoderLayer, attention_out) PLACE(DecoderLayer, cross_query)
    PLACE(DecoderLayer, cross_out) PLACE(DecoderLayer, fc1) PLACE(DecoderLayer, fc2)
    PLACE(DecoderLayer, attention_norm) PLACE(DecoderLayer, cross_norm) PLACE(DecoderLayer, final_norm)
    WHOLE(Embedding)
    PLACE(Embedding, tokens) PLACE(Embedding, places) PLACE(Embedding, table) PLACE(Embedding, scale)
    PLACE(Embedding, positions) PLACE(Embedding, norm)
    WHOLE(Encoder)
    PLACE(Encoder, width) PLACE(Encoder, heads) PLACE(Encoder, feed_forward) PLACE(Encoder, layers)
    PLACE(Encoder, embedding) PLACE(Encoder, layer) PLACE(Encoder, cross) PLACE(Encoder, decoder_layers)
    WHOLE(Decoder)
    PLACE(Decoder, width) PLACE(Decoder, heads) PLACE(Decoder, feed_forward) PLACE(Decoder, layers)
    PLACE(Decoder, embedding) PLACE(Decoder, layer) PLACE(Decoder, head) PLACE(Decoder, watched)
    WHOLE(Step)
    PLACE(Step, requests) PLACE(Step, beams) PLACE(Step, keys) PLACE(Step, source) PLACE(Step, candidates)
    PLACE(Step, ids) PLACE(Step, positions) PLACE(Step, scores) PLACE(Step, mask) PLACE(Step, self_bias)
    PLACE(Step, cross) PLACE(Step, cache) PLACE(Step, sums) PLACE(Step, tokens) PLACE(Step, chosen_beams)
    PLACE(Step, watched_logprobs) PLACE(Step, logprobs)
    /* clang-format on */
};

static PyObject* layout(PyObject* self, PyObject* none) {
    (void)self, (void)none;
    PyObject* list = PyList_New(0);
    for (size_t i = 0; list && i < sizeof(places) / sizeof(*places); i++) {
        PyObject* place = Py_BuildValue("(ssnn)", places[i].structure, places[i].field, (Py_ssize_t)places[i].offset,
                                        (Py_ssize_t)places[i].size);
        if (!place || PyList_Append(list, place) < 0) Py_CLEAR(list);
        Py_XDECREF(place);
    }
    return list;
}

#define FUNCTION(name, text) {#name, (PyCFunction)(void (*)(void))name, METH_FASTCALL, text}

static PyMethodDef functions[] = {
    FUNCTION(pack, "pack(weight, packed, column_sums): weights [inputs, outputs] in the order of the kernels."),
    FUNCTION(encode_scratch, "encode_scratch(encoder, length): bytes of scratch memory for a source."),
    FUNCTION(encode, "encode(encoder, ids, cross, scratch): encode a source into the cross-attention arrays."),
    FUNCTION(step_scratch, "step_scratch(decoder, step): bytes of scratch memory for a step."),
    FUNCTION(step, "step(decoder, step, scratch): take a step."),
    {"layout", layout, METH_NOARGS,
     "layout(): (structure, field, offset, size) of every field; field '' is the whole."},
    {NULL, NULL, 0, NULL},
};

/* MODULE is given by the compiler's command line: there is one module for each instruction set. */
#define TEXT_OF(name) #name
#define TEXT(name) TEXT_OF(name)
#define INIT_OF(name) PyInit_##name
#define INIT(name) INIT_OF(name)

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, TEXT(MODULE), NULL, -1, functions, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC INIT(MODULE)(void) {
    PyObject* made = PyModule_Create(&module);
    if (made && PyModule_AddIntConstant(made, "PANEL", PANEL) < 0) Py_CLEAR(made);
    return made;
}
