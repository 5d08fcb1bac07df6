/*
 * What an event loop waits with: one system call, then straight on to whoever is waited for.
 *
 * asyncio hands every event from the selector to a list, from there to a queue and from there to its callback, in
 * Python. After a sleep, when all caches are cold, that costs more than waking a process. Descriptors that are served
 * here have their callback called right after the system call instead (src/peppy/loop/__init__.py).
 */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64 /* events of one call; the kernel begins the next call with those that were left */

enum { EVENT_READ = 1, EVENT_WRITE = 2 }; /* as in the module `selectors` */

static int wait_ns(int epoll, struct epoll_event *events, double seconds)
{
    static int coarse;
#ifdef SYS_epoll_pwait2
    if (!coarse) {
        struct timespec limit = {.tv_sec = (time_t)seconds};
        limit.tv_nsec = (long)ceil((seconds - (double)limit.tv_sec) * 1e9);
        if (limit.tv_nsec > 999999999) {
            limit.tv_sec++;
            limit.tv_nsec = 0;
        }
        int found = (int)syscall(SYS_epoll_pwait2, epoll, events, BATCH, &limit, NULL, 0);
        if (found >= 0 || (errno != ENOSYS && errno != EPERM))
            return found;
        coarse = 1; /* an old kernel, or a filter that does not know the call */
    }
#endif
    (void)coarse;
    return epoll_wait(epoll, events, BATCH, (int)ceil(seconds * 1e3));
}

/* Seconds to wait, 0 for not at all, negative for ever; NAN with an exception set. */
static double seconds_of(PyObject *timeout)
{
    if (timeout == Py_None)
        return -1.0;
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0 && PyErr_Occurred())
        return NAN;
    if (!(seconds > 0))
        return 0.0;
    return seconds < 86400.0 ? seconds : 86400.0;
}

/* Append (key, mask) for one event, as `select` of a selector does; a descriptor that has gone meanwhile is no event. */
static int report(PyObject *found, PyObject *keys, PyObject *fd, uint32_t events)
{
    PyObject *key = PyDict_GetItemWithError(keys, fd);
    if (!key)
        return PyErr_Occurred() ? -1 : 0;
    PyObject *wanted = PyObject_GetAttrString(key, "events");
    if (!wanted)
        return -1;
    long mask = PyLong_AsLong(wanted);
    Py_DECREF(wanted);
    if (mask == -1 && PyErr_Occurred())
        return -1;
    mask &= (events & ~(uint32_t)EPOLLIN ? EVENT_WRITE : 0) | (events & ~(uint32_t)EPOLLOUT ? EVENT_READ : 0);
    if (!mask)
        return 0;
    PyObject *entry = Py_BuildValue("(Ol)", key, mask);
    if (!entry)
        return -1;
    int code = PyList_Append(found, entry);
    Py_DECREF(entry);
    return code;
}

/* Call who serves this descriptor; 0 when nobody does, 1 when it was served, -1 for an exception of his. */
static int serve(PyObject *served, PyObject *fd)
{
    PyObject *callback = PyDict_GetItemWithError(served, fd);
    if (!callback)
        return PyErr_Occurred() ? -1 : 0;
    Py_INCREF(callback); /* it may remove itself */
    PyObject *result = PyObject_CallNoArgs(callback);
    Py_DECREF(callback);
    if (!result)
        return -1;
    Py_DECREF(result);
    return 1;
}

/* wait(epoll, timeout in seconds or None, {fd: callback}, {fd: key of a selector}) -> [(key, mask)] of the others */
static PyObject *wait_for(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    (void)module;
    if (count != 4 || !PyDict_Check(arguments[2]) || !PyDict_Check(arguments[3])) {
        PyErr_SetString(PyExc_TypeError, "wait(epoll, timeout, served, keys)");
        return NULL;
    }
    const long epoll = PyLong_AsLong(arguments[0]);
    const double seconds = seconds_of(arguments[1]);
    if (PyErr_Occurred())
        return NULL;
    struct epoll_event events[BATCH];
    int ready;
    Py_BEGIN_ALLOW_THREADS
    ready = seconds > 0 ? wait_ns((int)epoll, events, seconds)
                        : epoll_wait((int)epoll, events, BATCH, seconds < 0 ? -1 : 0);
    Py_END_ALLOW_THREADS
    if (ready < 0 && errno != EINTR)
        return PyErr_SetFromErrno(PyExc_OSError);
    if (ready < 0 && PyErr_CheckSignals())
        return NULL;
    PyObject *found = PyList_New(0);
    for (int index = 0; found && index < ready; index++) {
        PyObject *fd = PyLong_FromLong(events[index].data.fd);
        int code = fd ? serve(arguments[2], fd) : -1;
        if (code == 0)
            code = report(found, arguments[3], fd, events[index].events);
        Py_XDECREF(fd);
        if (code < 0)
            Py_CLEAR(found); /* what is ready still is so at the next call */
    }
    return found;
}

/* quiet(eventfd) -> whether it had been rung; without giving the interpreter lock away, for nothing is waited for */
static PyObject *quiet(PyObject *module, PyObject *bell)
{
    (void)module;
    const long fd = PyLong_AsLong(bell);
    if (fd == -1 && PyErr_Occurred())
        return NULL;
    uint64_t rung;
    ssize_t length;
    do
        length = read((int)fd, &rung, sizeof rung);
    while (length < 0 && errno == EINTR);
    if (length < 0 && errno != EAGAIN)
        return PyErr_SetFromErrno(PyExc_OSError);
    return PyBool_FromLong(length > 0);
}

static PyMethodDef functions[] = {{"wait", (PyCFunction)(void (*)(void))wait_for, METH_FASTCALL, NULL},
                                  {"quiet", quiet, METH_O, NULL},
                                  {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "peppy.loop._wait", .m_size = -1, .m_methods = functions};

PyMODINIT_FUNC PyInit__wait(void)
{
    return PyModule_Create(&definition);
}
