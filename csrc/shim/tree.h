/* The processes that descend from the shim. It is their subreaper: an orphan becomes its child, so the tree is whole. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/* Start time of a process in clock ticks since boot (field 22 of its stat file), 0 when it is gone. */
uint64_t tree_start_time(pid_t pid);

/* Sends a signal to every descendant of `root`. `report` is told of each one that could not be signalled though it lives.
 * Returns 0 or -errno when the processes could not be listed. */
int tree_signal(pid_t root, int signal, void (*report)(void *context, pid_t pid, int error), void *context);
