/*
 * The calls that a message takes, as methods of Python objects: Writer.publish_bytes, Reader.take_bytes,
 * Reader.receive_bytes and Feed.take. Everything else of the core goes through cffi, which costs several times as much
 * as these calls do by themselves: it converts each argument, gives the interpreter lock away and takes it back, and
 * leaves the result in a struct that Python unpacks. After a sleep, when all caches are cold, that is most of what a
 * message costs.
 *
 * A short message is published and taken with the interpreter lock held: it is copied in less time than the lock takes
 * to come back. Nothing is ever waited for with the lock held, nor is a long message copied.
 *
 * The core itself is in the cffi module; the functions of it that are used here are handed over as addresses.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <stdint.h>
#include <time.h>

#include "calls.h"

static int (*publish)(struct peppy_writer *, const void *, uint64_t, uint64_t *);
static int (*publish_at_once)(struct peppy_writer *, const void *, uint64_t, uint64_t *);
int (*take_copy)(struct peppy_reader *, void *, uint64_t, struct peppy_message *);
int (*arm)(struct peppy_reader *);
static int (*receive)(struct peppy_reader *, int, int64_t, int64_t, void *, uint64_t, struct peppy_message *);

/* One end of a stream: the handle, the cffi object that keeps it open, and what turns its other results into Python. */
struct end {
    PyObject_HEAD
    void *handle;
    PyObject *owner;
    PyObject *otherwise; /* publish: f(code, length) raises; take: f(code) gives the outcome or raises */
};

static PyObject *end_new(PyTypeObject *type, PyObject *arguments, PyObject *names)
{
    unsigned long long handle;
    PyObject *owner, *otherwise;
    if (names && PyDict_Size(names)) {
        PyErr_SetString(PyExc_TypeError, "no names here");
        return NULL;
    }
    if (!PyArg_ParseTuple(arguments, "KOO", &handle, &owner, &otherwise))
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    struct end *end = (struct end *)allocate(type, 0);
    if (!end)
        return NULL;
    end->handle = (void *)(uintptr_t)handle;
    end->owner = Py_NewRef(owner);
    end->otherwise = Py_NewRef(otherwise);
    return (PyObject *)end;
}

static int end_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct end *end = (struct end *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(end->owner);
    Py_VISIT(end->otherwise);
    return 0;
}

/* The owner leads to nothing else, and until the end of this object somebody may still call it. */
static int end_clear(PyObject *self)
{
    struct end *end = (struct end *)self;
    Py_CLEAR(end->otherwise);
    return 0;
}

static void end_dealloc(PyObject *self)
{
    struct end *end = (struct end *)self;
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    PyObject_GC_UnTrack(self);
    end_clear(self);
    Py_CLEAR(end->owner); /* closes the handle if nobody else uses it */
    release(self);
    Py_DECREF(type);
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static PyObject *outlet_publish(PyObject *self, PyObject *message)
{
    struct end *end = (struct end *)self;
    Py_buffer bytes;
    if (PyObject_GetBuffer(message, &bytes, PyBUF_SIMPLE))
        return NULL;
    const uint64_t length = (uint64_t)bytes.len;
    int code = -EBUSY;
    if (length <= SHORT)
        code = publish_at_once(end->handle, bytes.buf, length, NULL);
    if (code == -EBUSY) {
        Py_BEGIN_ALLOW_THREADS
        code = publish(end->handle, bytes.buf, length, NULL);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&bytes);
    if (code)
        return PyObject_CallFunction(end->otherwise, "iK", code, (unsigned long long)length);
    Py_RETURN_NONE;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* (bytes, sequence, publish time); steals `bytes`. */
static PyObject *taken(PyObject *bytes, const struct peppy_message *message)
{
    PyObject *result = bytes ? PyTuple_New(3) : NULL;
    PyObject *sequence = result ? PyLong_FromUnsignedLongLong(message->sequence) : NULL;
    PyObject *time = sequence ? PyLong_FromUnsignedLongLong(message->publish_time_ns) : NULL;
    if (!time) {
        Py_XDECREF(bytes);
        Py_XDECREF(result);
        Py_XDECREF(sequence);
        return NULL;
    }
    PyTuple_SetItem(result, 0, bytes);
    PyTuple_SetItem(result, 1, sequence);
    PyTuple_SetItem(result, 2, time);
    return result;
}

/* The next message is long, or others are in the way: without the interpreter lock, and into bytes of its size. NULL
 * with an exception set, or without one when `code` says why there is no message. A writer that lets no race be won
 * can keep the caller here, but not from its signals. */
PyObject *take_long(void *handle, int *code, struct peppy_message *message)
{
    PyObject *bytes = NULL;
    uint64_t room = 0;
    while (*code == PEPPY_TOO_LONG || *code == PEPPY_AGAIN) {
        if (*code == PEPPY_TOO_LONG || !bytes) {
            Py_XDECREF(bytes);
            room = *code == PEPPY_TOO_LONG ? message->length : SHORT;
            bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)room);
            if (!bytes)
                return NULL;
        }
        char *place = PyBytes_AsString(bytes);
        Py_BEGIN_ALLOW_THREADS
        *code = take_copy(handle, place, room, message);
        Py_END_ALLOW_THREADS
        if (*code == PEPPY_AGAIN && PyErr_CheckSignals()) {
            Py_DECREF(bytes);
            return NULL;
        }
    }
    if (*code) {
        Py_XDECREF(bytes);
        return NULL;
    }
    if (message->length != room) { /* it was another message than the one that was too long */
        PyObject *longer = bytes;
        bytes = PyBytes_FromStringAndSize(PyBytes_AsString(longer), (Py_ssize_t)message->length);
        Py_DECREF(longer);
    }
    return bytes;
}

int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static PyObject *inlet_take(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct end *end = (struct end *)self;
    struct peppy_message message;
    char room[SHORT];
    int code = take_copy(end->handle, room, SHORT, &message);
    if (code) {
        PyObject *bytes = take_long(end->handle, &code, &message);
        if (bytes || PyErr_Occurred())
            return taken(bytes, &message);
        return PyObject_CallFunction(end->otherwise, "i", code);
    }
    return taken(PyBytes_FromStringAndSize(room, (Py_ssize_t)message.length), &message);
}

/* receive(doorbell, timeout in ns or -1, spin in ns) */
static PyObject *inlet_receive(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
    struct end *end = (struct end *)self;
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "receive(doorbell, timeout_ns, spin_ns)");
        return NULL;
    }
    const long doorbell = PyLong_AsLong(arguments[0]);
    int64_t left = PyLong_AsLongLong(arguments[1]);
    const int64_t spin = PyLong_AsLongLong(arguments[2]);
    if (PyErr_Occurred())
        return NULL;
    if (doorbell != (int)doorbell) {
        PyErr_SetString(PyExc_OverflowError, "no descriptor has this number");
        return NULL;
    }
    struct peppy_message message;
    char room[SHORT];
    int64_t deadline = 0;
    int code = take_copy(end->handle, room, SHORT, &message);
    for (;;) {
        if (code == PEPPY_TOO_LONG || code == PEPPY_AGAIN) {
            PyObject *bytes = take_long(end->handle, &code, &message);
            if (bytes || PyErr_Occurred())
                return taken(bytes, &message);
        }
        if (code == -EINTR && PyErr_CheckSignals())
            return NULL;
        if (code != PEPPY_EMPTY && code != -EINTR)
            break;
        if (left > 0) {
            const int64_t time = now();
            if (!deadline)
                deadline = left < INT64_MAX - time ? time + left : INT64_MAX;
            left = deadline > time ? deadline - time : 0;
        }
        Py_BEGIN_ALLOW_THREADS
        code = receive(end->handle, (int)doorbell, left, spin, room, SHORT, &message);
        Py_END_ALLOW_THREADS
        if (code == PEPPY_EMPTY) /* the time is up; above it means that another thread was faster */
            break;
    }
    if (code)
        return PyObject_CallFunction(end->otherwise, "i", code);
    return taken(PyBytes_FromStringAndSize(room, (Py_ssize_t)message.length), &message);
}

/* --- the module --------------------------------------------------------------------------------------------------- */

static PyMethodDef outlet_methods[] = {{"publish", outlet_publish, METH_O, NULL}, {NULL, NULL, 0, NULL}};
static PyType_Slot outlet_slots[] = {
    {Py_tp_new, end_new},     {Py_tp_dealloc, end_dealloc},    {Py_tp_traverse, end_traverse},
    {Py_tp_clear, end_clear}, {Py_tp_methods, outlet_methods}, {0, NULL}};
static PyType_Spec outlet_spec = {"peppy.ring._calls.Outlet", sizeof(struct end), 0, FLAGS, outlet_slots};

static PyMethodDef inlet_methods[] = {{"take", inlet_take, METH_NOARGS, NULL},
                                      {"receive", (PyCFunction)(void (*)(void))inlet_receive, METH_FASTCALL, NULL},
                                      {NULL, NULL, 0, NULL}};
static PyType_Slot inlet_slots[] = {
    {Py_tp_new, end_new},     {Py_tp_dealloc, end_dealloc},   {Py_tp_traverse, end_traverse},
    {Py_tp_clear, end_clear}, {Py_tp_methods, inlet_methods}, {0, NULL}};
static PyType_Spec inlet_spec = {"peppy.ring._calls.Inlet", sizeof(struct end), 0, FLAGS, inlet_slots};

static PyObject *use(PyObject *module, PyObject *arguments)
{
    (void)module;
    unsigned long long address[5];
    if (!PyArg_ParseTuple(arguments, "KKKKK", &address[0], &address[1], &address[2], &address[3], &address[4]))
        return NULL;
    publish = (int (*)(struct peppy_writer *, const void *, uint64_t, uint64_t *))(uintptr_t)address[0];
    publish_at_once = (int (*)(struct peppy_writer *, const void *, uint64_t, uint64_t *))(uintptr_t)address[1];
    take_copy = (int (*)(struct peppy_reader *, void *, uint64_t, struct peppy_message *))(uintptr_t)address[2];
    receive = (int (*)(struct peppy_reader *, int, int64_t, int64_t, void *, uint64_t, struct peppy_message *))(
        uintptr_t)address[3];
    arm = (int (*)(struct peppy_reader *))(uintptr_t)address[4];
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {{"use", use, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "peppy.ring._calls", .m_size = -1, .m_methods = functions};

static int add_type(PyObject *module, const char *name, PyType_Spec *spec)
{
    PyObject *type = PyType_FromSpec(spec);
    if (!type)
        return -1;
    int result = PyModule_AddObjectRef(module, name, type);
    Py_DECREF(type);
    return result;
}

PyMODINIT_FUNC PyInit__calls(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (!module)
        return NULL;
    if (add_type(module, "Outlet", &outlet_spec) || add_type(module, "Inlet", &inlet_spec) ||
        add_type(module, "Feed", &feed_spec)) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
