/* What calls.c and feed.c share: the core's functions, and how a message of any length becomes bytes. */
#pragma once

#include <Python.h>
#include <stdint.h>

#include "peppy_ring.h"

#define SHORT 4096
#define FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC)

extern int (*take_copy)(struct peppy_reader *, void *, uint64_t, struct peppy_message *);
extern int (*arm)(struct peppy_reader *);

PyObject *take_long(void *handle, int *code, struct peppy_message *message);
int64_t now(void); /* CLOCK_MONOTONIC, nanoseconds */

extern PyType_Spec feed_spec;
