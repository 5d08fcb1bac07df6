/* The shim's files in the directory of its instance: shim.lock, pid.json, exit.json. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct exit_record {
    int wait_status; /* as waitpid gives it */
    int64_t started_ns, ended_ns; /* since the epoch */
    bool killed; /* SIGKILL was needed for the child or another descendant */
};

/* All return 0 or -errno (record_lock: the descriptor, kept open for life; -EAGAIN when another shim holds the lock). */
int record_lock(int directory);
int record_pids(int directory, pid_t shim, uint64_t shim_start, pid_t child, uint64_t child_start);
int record_reserve_exit(int directory);
int record_exit(int directory, const struct exit_record *record);
