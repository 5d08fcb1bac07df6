/* The one process the shim was asked to run. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

struct child {
    pid_t pid;
    int go; /* one byte lets the child exec; closing it without one makes the child end */
    int exec_error; /* brings the errno of a failed exec as an int, or nothing */
    int output, errors; /* what it writes on stdout and stderr; reading does not block */
};

/* Forks the child, which waits for child_release. Returns 0 or -errno. */
int child_fork(char **command, uint64_t open_files, struct child *child);

void child_release(struct child *child);
