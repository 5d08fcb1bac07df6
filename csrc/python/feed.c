/*
 * Feed: a stream as a subscription reads it, one call for a message that is taken, checked and decoded.
 *
 * A payload begins with `head`, then the length of its body as u32, then the body; such a body goes straight to `read`.
 * Whatever is not right about a payload is explained by `decode`, which gets the whole of it and raises. With `head` 0
 * all payloads go there.
 */
#define PY_SSIZE_T_CLEAN
#include "calls.h"

#include <stddef.h>
#include <string.h>
#include <structmember.h>

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
PyType_Spec feed_spec = {"peppy.ring._calls.Feed", sizeof(struct feed), 0, FLAGS, feed_slots};
