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
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <structmember.h>
#include <time.h>

#include "peppy_ring.h"

#define SHORT 4096

static int (*publish)(struct peppy_writer *, const void *, uint64_t, uint64_t *);
static int (*publish_at_once)(struct peppy_writer *, const void *, uint64_t, uint64_t *);
static int (*take_copy)(struct peppy_reader *, void *, uint64_t, struct peppy_message *);
static int (*arm)(struct peppy_reader *);
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
static PyObject *take_long(void *handle, int *code, struct peppy_message *message)
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

static int64_t now(void)
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

/* --- reading decoded messages --------------------------------------------------------------------------------------- */

/*
 * A stream as a subscription reads it. A payload begins with `head`, then the length of its body as u32, then the body;
 * such a body goes straight to `read`. Whatever is not right about a payload is explained by `decode`, which gets the
 * whole of it and raises. With `head` 0 all payloads go there.
 */
struct feed {
    PyObject_HEAD
    void *handle;
    PyObject *owner;     /* keeps the handle open */
    PyObject *otherwise; /* f(code): the outcome, or raises */
    PyObject *producer;  /* first member of every result */
    PyObject *read;      /* f(body) */
    PyObject *decode;    /* f(payload) */
    PyObject *lost;      /* f(count) is told of a gap */
    uint32_t head;
    unsigned long long next; /* the sequence that is expected */
    unsigned long long sequence, publish_time_ns, receive_time_ns; /* of the last message */
};

static PyObject *feed_new(PyTypeObject *type, PyObject *arguments, PyObject *names)
{
    unsigned long long handle, next;
    unsigned int head;
    PyObject *owner, *otherwise, *producer, *read, *decode, *lost;
    if (names && PyDict_Size(names)) {
        PyErr_SetString(PyExc_TypeError, "no names here");
        return NULL;
    }
    if (!PyArg_ParseTuple(arguments, "KOOKOIOOO", &handle, &owner, &otherwise, &next, &producer, &head, &read, &decode,
                          &lost))
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    struct feed *feed = (struct feed *)allocate(type, 0);
    if (!feed)
        return NULL;
    feed->handle = (void *)(uintptr_t)handle;
    feed->owner = Py_NewRef(owner);
    feed->otherwise = Py_NewRef(otherwise);
    feed->producer = Py_NewRef(producer);
    feed->read = Py_NewRef(read);
    feed->decode = Py_NewRef(decode);
    feed->lost = Py_NewRef(lost);
    feed->head = head;
    feed->next = next;
    return (PyObject *)feed;
}

static int feed_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct feed *feed = (struct feed *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(feed->owner);
    Py_VISIT(feed->otherwise);
    Py_VISIT(feed->producer);
    Py_VISIT(feed->read);
    Py_VISIT(feed->decode);
    Py_VISIT(feed->lost);
    return 0;
}

static int feed_clear(PyObject *self) /* as end_clear */
{
    struct feed *feed = (struct feed *)self;
    Py_CLEAR(feed->otherwise);
    Py_CLEAR(feed->read);
    Py_CLEAR(feed->decode);
    Py_CLEAR(feed->lost);
    return 0;
}

static void feed_dealloc(PyObject *self)
{
    struct feed *feed = (struct feed *)self;
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    PyObject_GC_UnTrack(self);
    feed_clear(self);
    Py_CLEAR(feed->producer);
    Py_CLEAR(feed->owner); /* closes the handle if nobody else uses it */
    release(self);
    Py_DECREF(type);
}

static int feed_account(struct feed *feed, const struct peppy_message *message)
{
    feed->sequence = message->sequence;
    feed->publish_time_ns = message->publish_time_ns;
    feed->receive_time_ns = (unsigned long long)now();
    const unsigned long long expected = feed->next;
    feed->next = message->sequence + 1;
    if (message->sequence <= expected)
        return 0;
    PyObject *told = PyObject_CallFunction(feed->lost, "K", message->sequence - expected);
    Py_XDECREF(told);
    return told ? 0 : -1;
}

/* The message of a payload: its body goes to `read`; whatever is wrong is for `decode` to say. */
static PyObject *feed_message(struct feed *feed, const char *payload, uint64_t length, PyObject *whole)
{
    uint32_t head, size;
    if (length >= sizeof head + sizeof size) {
        memcpy(&head, payload, sizeof head);
        memcpy(&size, payload + sizeof head, sizeof size);
        if (head && head == feed->head && size <= length - sizeof head - sizeof size) {
            PyObject *body = PyBytes_FromStringAndSize(payload + sizeof head + sizeof size, (Py_ssize_t)size);
            PyObject *message = body ? PyObject_CallFunctionObjArgs(feed->read, body, NULL) : NULL;
            Py_XDECREF(body);
            if (message || !body || !PyErr_ExceptionMatches(PyExc_Exception))
                return message;
            PyErr_Clear();
        }
    }
    if (whole)
        return PyObject_CallFunctionObjArgs(feed->decode, whole, NULL);
    whole = PyBytes_FromStringAndSize(payload, (Py_ssize_t)length);
    PyObject *message = whole ? PyObject_CallFunctionObjArgs(feed->decode, whole, NULL) : NULL;
    Py_XDECREF(whole);
    return message;
}

/* take() -> (producer, message), None when there is nothing now, or what `otherwise` says. The figures of a message
 * are in the feed before it is decoded: one that cannot be has been taken as well. */
static PyObject *feed_take(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct feed *feed = (struct feed *)self;
    struct peppy_message record;
    char room[SHORT];
    PyObject *whole = NULL;
    int code = take_copy(feed->handle, room, SHORT, &record);
    if (code == PEPPY_EMPTY)
        Py_RETURN_NONE;
    if (code) {
        whole = take_long(feed->handle, &code, &record);
        if (!whole) {
            if (PyErr_Occurred())
                return NULL;
            if (code == PEPPY_EMPTY)
                Py_RETURN_NONE;
            return PyObject_CallFunction(feed->otherwise, "i", code);
        }
    }
    PyObject *message = NULL;
    if (!feed_account(feed, &record))
        message = feed_message(feed, whole ? PyBytes_AsString(whole) : room, record.length, whole);
    Py_XDECREF(whole);
    PyObject *result = message ? PyTuple_New(2) : NULL;
    if (!result) {
        Py_XDECREF(message);
        return NULL;
    }
    PyTuple_SetItem(result, 0, Py_NewRef(feed->producer));
    PyTuple_SetItem(result, 1, message);
    return result;
}

/* arm() -> whether to sleep: there is nothing, and the doorbell will ring; False when there is something after all */
static PyObject *feed_arm(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct feed *feed = (struct feed *)self;
    const int code = arm(feed->handle);
    if (code >= 0)
        return PyBool_FromLong(code == PEPPY_EMPTY);
    return PyObject_CallFunction(feed->otherwise, "i", code);
}

/* --- the module --------------------------------------------------------------------------------------------------- */

#define FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC)

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

static PyMethodDef feed_methods[] = {
    {"take", feed_take, METH_NOARGS, NULL}, {"arm", feed_arm, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
static PyMemberDef feed_members[] = {
    {"next_sequence", T_ULONGLONG, offsetof(struct feed, next), 0, NULL},
    {"sequence", T_ULONGLONG, offsetof(struct feed, sequence), 0, NULL},
    {"publish_time_ns", T_ULONGLONG, offsetof(struct feed, publish_time_ns), 0, NULL},
    {"receive_time_ns", T_ULONGLONG, offsetof(struct feed, receive_time_ns), 0, NULL},
    {NULL, 0, 0, 0, NULL}};
static PyType_Slot feed_slots[] = {{Py_tp_new, feed_new},           {Py_tp_dealloc, feed_dealloc},
                                   {Py_tp_traverse, feed_traverse}, {Py_tp_clear, feed_clear},
                                   {Py_tp_methods, feed_methods},   {Py_tp_members, feed_members},
                                   {0, NULL}};
static PyType_Spec feed_spec = {"peppy.ring._calls.Feed", sizeof(struct feed), 0, FLAGS, feed_slots};

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
