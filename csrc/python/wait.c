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
#include <sys/uio.h>
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

/* Whether a number fits a descriptor; otherwise an exception is set. */
static int is_descriptor(long number)
{
    if (number == (int)number)
        return 1;
    PyErr_SetString(PyExc_OverflowError, "no descriptor has this number");
    return 0;
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

/* An event, and who waited for it when it came: a callback, a key of a selector, or nobody. */
struct ready {
    PyObject *fd, *target;
    uint32_t events;
    int is_served;
};

/* 1 while the same one waits for the descriptor; its number may be somebody else's by now, for whom nothing came. */
static int waits(PyObject *targets, const struct ready *ready)
{
    PyObject *target = PyDict_GetItemWithError(targets, ready->fd);
    if (!target)
        return PyErr_Occurred() ? -1 : 0;
    return target == ready->target; /* which is kept, so that no newcomer has its address */
}

/* Find out who waits for this event; -1 with an exception set. */
static int find(PyObject *served, PyObject *keys, const struct epoll_event *event, struct ready *ready)
{
    ready->events = event->events;
    ready->target = NULL;
    ready->fd = PyLong_FromLong(event->data.fd);
    if (!ready->fd)
        return -1;
    ready->target = PyDict_GetItemWithError(served, ready->fd);
    ready->is_served = ready->target != NULL;
    if (!ready->target && !PyErr_Occurred())
        ready->target = PyDict_GetItemWithError(keys, ready->fd);
    Py_XINCREF(ready->target);
    return !ready->target && PyErr_Occurred() ? -1 : 0;
}

/* Hand an exception of a callback to `failed`, for the others are to go on; -1 for one that ends the loop. */
static int tell(PyObject *failed)
{
    if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) || PyErr_ExceptionMatches(PyExc_SystemExit))
        return -1;
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    if (traceback)
        PyException_SetTraceback(error, traceback);
    PyObject *result = PyObject_CallFunctionObjArgs(failed, error, NULL);
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(traceback);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

/* Call who serves this descriptor; -1 for an exception that ends the loop. */
static int serve(PyObject *failed, const struct ready *ready)
{
    PyObject *result = PyObject_CallNoArgs(ready->target);
    if (!result)
        return tell(failed);
    Py_DECREF(result);
    return 0;
}

/* Append (key, mask), as `select` does. */
static int report(PyObject *found, const struct ready *ready)
{
    PyObject *wanted = PyObject_GetAttrString(ready->target, "events");
    if (!wanted)
        return -1;
    long mask = PyLong_AsLong(wanted);
    Py_DECREF(wanted);
    if (mask == -1 && PyErr_Occurred())
        return -1;
    mask &= (ready->events & ~(uint32_t)EPOLLIN ? EVENT_WRITE : 0) |
            (ready->events & ~(uint32_t)EPOLLOUT ? EVENT_READ : 0);
    PyObject *entry = mask ? Py_BuildValue("(Ol)", ready->target, mask) : NULL;
    if (!entry)
        return mask ? -1 : 0;
    int code = PyList_Append(found, entry);
    Py_DECREF(entry);
    return code;
}

/* Call all who are served, even when one of them ends the loop: whoever waits for edges is told of each once. */
static int serve_all(PyObject *served, PyObject *failed, const struct ready *ready, int count)
{
    PyObject *type = NULL, *error = NULL, *traceback = NULL;
    for (int index = 0; index < count; index++) {
        int code = !ready[index].is_served ? 0 : index == 0 ? 1 : waits(served, &ready[index]);
        if (code > 0)
            code = serve(failed, &ready[index]);
        if (code < 0 && type)
            PyErr_WriteUnraisable(ready[index].target);
        else if (code < 0)
            PyErr_Fetch(&type, &error, &traceback);
    }
    if (!type)
        return 0;
    PyErr_Restore(type, error, traceback);
    return -1;
}

/* First call who is served, then report the others: a callback may have changed who waits, or for what. */
static int pass_on(PyObject *const *arguments, PyObject *found, const struct epoll_event *events, int count)
{
    PyObject *const served = arguments[2], *const keys = arguments[3], *const failed = arguments[6];
    struct ready ready[BATCH];
    int code = 0, known = 0;
    while (known < count && !code) {
        code = find(served, keys, &events[known], &ready[known]);
        known++;
    }
    if (!code)
        code = serve_all(served, failed, ready, known);
    for (int index = 0; index < known && code >= 0; index++)
        if (!ready[index].is_served && (code = waits(keys, &ready[index])) > 0)
            code = report(found, &ready[index]);
    for (int index = 0; index < known; index++) {
        Py_XDECREF(ready[index].fd);
        Py_XDECREF(ready[index].target);
    }
    return code < 0 ? -1 : 0; /* what is ready still is so at the next call */
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* One system call and who is served by it; the others are appended to `found`. 0, or -1 with an exception set. */
static int wait_once(int epoll, double seconds, PyObject *const *arguments, PyObject *found)
{
    struct epoll_event events[BATCH];
    int ready;
    Py_BEGIN_ALLOW_THREADS
    ready = seconds > 0 ? wait_ns(epoll, events, seconds) : epoll_wait(epoll, events, BATCH, seconds < 0 ? -1 : 0);
    Py_END_ALLOW_THREADS
    if (ready < 0 && errno != EINTR) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    if (ready > 0 && pass_on(arguments, found, events, ready))
        return -1;
    return PyErr_CheckSignals(); /* one that came while callbacks ran does not interrupt the next system call */
}

/*
 * wait(epoll, timeout in seconds or None, {fd: callback}, {fd: key of a selector}, ready, timers, failed) -> [(key, mask)]
 *
 * Returns events of descriptors that are not served. When those who are served leave nothing behind that the loop has
 * to do (no handle in `ready`, no timer more), it waits on for the rest of the time.
 */
static PyObject *wait_for(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    (void)module;
    if (count != 7 || !PyDict_Check(arguments[2]) || !PyDict_Check(arguments[3]) || !PyCallable_Check(arguments[6])) {
        PyErr_SetString(PyExc_TypeError, "wait(epoll, timeout, served, keys, ready, timers, failed)");
        return NULL;
    }
    const long epoll = PyLong_AsLong(arguments[0]);
    double seconds = seconds_of(arguments[1]);
    if (PyErr_Occurred() || !is_descriptor(epoll))
        return NULL;
    const Py_ssize_t timers = PyObject_Size(arguments[5]);
    const double deadline = seconds > 0 ? now() + seconds : 0;
    PyObject *found = timers < 0 ? NULL : PyList_New(0);
    while (found) {
        if (wait_once((int)epoll, seconds, arguments, found)) {
            Py_CLEAR(found);
            break;
        }
        if (seconds == 0 || PyList_Size(found) || PyObject_Size(arguments[4]) ||
            PyObject_Size(arguments[5]) != timers || (deadline && (seconds = deadline - now()) <= 0))
            break;
    }
    if (PyErr_Occurred())
        Py_CLEAR(found);
    return found;
}

/* Never blocks, whatever becomes of O_NONBLOCK: others hold the eventfd too, and the flag belongs to all of them. */
static ssize_t read_at_once(int fd, uint64_t *count)
{
    static int plain;
    const struct iovec room = {.iov_base = count, .iov_len = sizeof *count};
    if (!plain) {
        ssize_t length = preadv2(fd, &room, 1, -1, RWF_NOWAIT);
        if (length >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != EPERM))
            return length;
        plain = 1; /* an old kernel, or a filter that does not know the call */
    }
    return read(fd, count, sizeof *count);
}

/* quiet(eventfd) -> whether it had been rung; without giving the interpreter lock away, for nothing is waited for */
static PyObject *quiet(PyObject *module, PyObject *bell)
{
    (void)module;
    const long fd = PyLong_AsLong(bell);
    if ((fd == -1 && PyErr_Occurred()) || !is_descriptor(fd))
        return NULL;
    uint64_t rung;
    ssize_t length;
    do
        length = read_at_once((int)fd, &rung);
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
