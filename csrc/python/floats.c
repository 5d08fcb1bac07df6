/*
 * Short arrays of floats on their way into a message: their type, their number and their range are checked, and singles
 * are rounded, in one call. Value by value in Python that is a third of what publishing such a message costs.
 *
 * Both functions know the ordinary values only, a list or tuple of `float`; None says that the value needs a closer look
 * (src/peppy/codec/checks.py), which accepts it or explains what is wrong.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>

/* The elements as a tuple, NULL without an exception for what is no list or tuple of `count` elements. */
static PyObject *elements(PyObject *value, Py_ssize_t count)
{
    PyObject *tuple = NULL;
    if (PyTuple_CheckExact(value))
        tuple = Py_NewRef(value);
    else if (PyList_CheckExact(value))
        tuple = PyList_AsTuple(value); /* nobody can change its length meanwhile */
    if (tuple && PyTuple_Size(tuple) != count)
        Py_CLEAR(tuple);
    return tuple;
}

static PyObject *convert(PyObject *const *arguments, Py_ssize_t count, int single)
{
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "a value and the number of its elements");
        return NULL;
    }
    const Py_ssize_t length = PyLong_AsSsize_t(arguments[1]);
    if (length == -1 && PyErr_Occurred())
        return NULL;
    PyObject *given = elements(arguments[0], length);
    PyObject *result = given && single ? PyTuple_New(length) : given ? Py_NewRef(given) : NULL;
    for (Py_ssize_t index = 0; result && index < length; index++) {
        PyObject *element = PyTuple_GetItem(given, index);
        if (!PyFloat_CheckExact(element)) {
            Py_CLEAR(result);
        } else if (single) {
            const double number = PyFloat_AsDouble(element);
            const float rounded = (float)number;
            PyObject *nearest = isinf(rounded) && !isinf(number) ? NULL : PyFloat_FromDouble((double)rounded);
            if (nearest)
                PyTuple_SetItem(result, index, nearest);
            else
                Py_CLEAR(result);
        }
    }
    Py_XDECREF(given);
    if (PyErr_Occurred()) {
        Py_XDECREF(result);
        return NULL;
    }
    return result ? result : Py_NewRef(Py_None);
}

/* doubles(value, count) -> the elements as a tuple, or None */
static PyObject *doubles(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    (void)module;
    return convert(arguments, count, 0);
}

/* singles(value, count) -> the elements, rounded to the nearest single, as a tuple, or None */
static PyObject *singles(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    (void)module;
    return convert(arguments, count, 1);
}

static PyMethodDef functions[] = {{"doubles", (PyCFunction)(void (*)(void))doubles, METH_FASTCALL, NULL},
                                  {"singles", (PyCFunction)(void (*)(void))singles, METH_FASTCALL, NULL},
                                  {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "peppy.codec._floats", .m_size = -1, .m_methods = functions};

PyMODINIT_FUNC PyInit__floats(void)
{
    return PyModule_Create(&definition);
}
