/* What a search needs of a trie at every step, for query_set.py: the node that a token leads to, and the best of the
   tokens that may follow. Arguments and results are Python lists: making arrays of them would cost more than the work.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <math.h>
#include <stdint.h>

#include "../native/best.h"

#define MOST_BEAMS 64 /* generation/options.py */
#define MOST_WANTED (2 * MOST_BEAMS)

/* Arrays of trie.py. */
typedef struct {
    Py_buffer tokens_view, first_child_view;
    const int32_t *tokens, *first_child;
    Py_ssize_t nodes;
} Trie;

static void close_trie(Trie* trie) {
    PyBuffer_Release(&trie->tokens_view);
    PyBuffer_Release(&trie->first_child_view);
}

static int open_trie(PyObject* tokens, PyObject* first_child, Trie* trie) {
    if (PyObject_GetBuffer(tokens, &trie->tokens_view, PyBUF_SIMPLE) < 0) return 0;
    if (PyObject_GetBuffer(first_child, &trie->first_child_view, PyBUF_SIMPLE) < 0) {
        PyBuffer_Release(&trie->tokens_view);
        return 0;
    }
    trie->tokens = trie->tokens_view.buf;
    trie->first_child = trie->first_child_view.buf;
    trie->nodes = trie->tokens_view.len / (Py_ssize_t)sizeof(int32_t);
    if (trie->first_child_view.len == trie->tokens_view.len + (Py_ssize_t)sizeof(int32_t)) return 1;
    close_trie(trie);
    PyErr_SetString(PyExc_ValueError, "first_child must have one entry more than tokens");
    return 0;
}

/* Read a list of integers from 0 to below `end`; return how many, or -1 with an exception set. */
static Py_ssize_t read_list(PyObject* list, Py_ssize_t end, Py_ssize_t* values) {
    if (!PyList_Check(list) || PyList_GET_SIZE(list) > MOST_BEAMS) {
        PyErr_Format(PyExc_ValueError, "expected a list of at most %d integers", MOST_BEAMS);
        return -1;
    }
    const Py_ssize_t count = PyList_GET_SIZE(list);
    for (Py_ssize_t i = 0; i < count; i++) {
        values[i] = PyLong_AsSsize_t(PyList_GET_ITEM(list, i));
        if (values[i] >= 0 && values[i] < end) continue;
        if (!PyErr_Occurred()) PyErr_Format(PyExc_IndexError, "%zd is not from 0 to below %zd", values[i], end);
        return -1;
    }
    return count;
}

static Py_ssize_t child_of(const Trie* trie, Py_ssize_t node, Py_ssize_t token) {
    Py_ssize_t low = trie->first_child[node], high = trie->first_child[node + 1];
    const Py_ssize_t end = high;
    while (low < high) {
        const Py_ssize_t middle = (low + high) / 2;
        if (trie->tokens[middle] < token)
            low = middle + 1;
        else
            high = middle;
    }
    return low < end && trie->tokens[low] == token ? low : trie->nodes - 1; /* a leaf: no token follows it */
}

static PyObject* follow(PyObject* self, PyObject* const* args, Py_ssize_t given) {
    (void)self;
    if (given != 5) return PyErr_Format(PyExc_TypeError, "follow takes 5 arguments, got %zd", given);
    Trie trie;
    if (!open_trie(args[0], args[1], &trie)) return NULL;
    PyObject* found = NULL;
    Py_ssize_t states[MOST_BEAMS], beams[MOST_BEAMS], tokens[MOST_BEAMS];
    const Py_ssize_t before = read_list(args[2], trie.nodes, states);
    const Py_ssize_t count = before < 0 ? -1 : read_list(args[3], before, beams);
    if (count >= 0 && read_list(args[4], INT32_MAX, tokens) == count) {
        for (Py_ssize_t i = 0; i < before; i++) __builtin_prefetch(trie.first_child + states[i]);
        found = PyList_New(count);
        for (Py_ssize_t i = 0; found && i < count; i++)
            PyList_SET_ITEM(found, i, PyLong_FromSsize_t(child_of(&trie, states[beams[i]], tokens[i])));
    } else if (!PyErr_Occurred()) {
        PyErr_SetString(PyExc_ValueError, "as many tokens as beam indices are needed");
    }
    close_trie(&trie);
    return found;
}

static PyObject* lists_of(const Best* best) {
    PyObject *sums = PyList_New(best->count), *beams = PyList_New(best->count), *tokens = PyList_New(best->count);
    for (Py_ssize_t i = 0; sums && beams && tokens && i < best->count; i++) {
        PyList_SET_ITEM(sums, i, PyFloat_FromDouble(best->sums[i]));
        PyList_SET_ITEM(beams, i, PyLong_FromLongLong(best->beams[i]));
        PyList_SET_ITEM(tokens, i, PyLong_FromLongLong(best->tokens[i]));
    }
    return Py_BuildValue("(NNN)", sums, beams, tokens);
}

static PyObject* best(PyObject* self, PyObject* const* args, Py_ssize_t given) {
    (void)self;
    if (given != 6) return PyErr_Format(PyExc_TypeError, "best takes 6 arguments, got %zd", given);
    Trie trie;
    if (!open_trie(args[0], args[1], &trie)) return NULL;
    Py_buffer logprobs = {0};
    PyObject* found = NULL;
    Py_ssize_t nodes[MOST_BEAMS];
    const Py_ssize_t count = read_list(args[2], trie.nodes, nodes);
    if (count < 0 || PyObject_GetBuffer(args[3], &logprobs, PyBUF_STRIDES) < 0) goto done;
    float kept_sums[MOST_WANTED];
    int64_t kept_tokens[MOST_WANTED], kept_beams[MOST_WANTED];
    Best kept = {PyLong_AsSsize_t(args[5]), 0, kept_sums, kept_tokens, kept_beams};
    if (logprobs.ndim != 2 || logprobs.itemsize != sizeof(float) || logprobs.strides[1] != sizeof(float) ||
        logprobs.shape[0] < count || !PyList_Check(args[4]) || PyList_GET_SIZE(args[4]) != count || kept.room < 1 ||
        kept.room > MOST_WANTED) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "log-probabilities [beams, tokens] and a sum for each beam are needed");
        goto done;
    }
    float bar = -INFINITY; /* only sums above this are kept */
    for (Py_ssize_t i = 0; i < count; i++) __builtin_prefetch(trie.first_child + nodes[i]);
    for (Py_ssize_t i = 0; i < count; i++) __builtin_prefetch(trie.tokens + trie.first_child[nodes[i]]);
    for (Py_ssize_t beam = 0; beam < count; beam++) {
        const float* row = (const float*)((const char*)logprobs.buf + beam * logprobs.strides[0]);
        const float before = (float)PyFloat_AsDouble(PyList_GET_ITEM(args[4], beam));
        for (Py_ssize_t child = trie.first_child[nodes[beam]]; child < trie.first_child[nodes[beam] + 1]; child++) {
            const int32_t token = trie.tokens[child];
            if (token >= logprobs.shape[1]) continue; /* not a token of this model */
            const float sum = row[token] + before;
            if (!(sum > bar)) continue;
            take(&kept, sum, token, beam);
            if (kept.count == kept.room) bar = kept.sums[kept.room - 1];
        }
    }
    if (!PyErr_Occurred()) found = lists_of(&kept);
done:
    if (logprobs.obj) PyBuffer_Release(&logprobs);
    close_trie(&trie);
    return found;
}

static PyMethodDef functions[] = {
    {"follow", (PyCFunction)(void (*)(void))follow, METH_FASTCALL,
     "follow(tokens, first_child, states, beam_indices, beam_tokens): the nodes that tokens lead to."},
    {"best", (PyCFunction)(void (*)(void))best, METH_FASTCALL,
     "best(tokens, first_child, nodes, logprobs, sums, wanted): sums, beams and tokens of the best continuations."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_trie_steps", NULL, -1, functions, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__trie_steps(void) { return PyModule_Create(&module); }
