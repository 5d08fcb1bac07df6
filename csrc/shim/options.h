/* The command line of the shim. Its paths are absolute. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct options {
    const char *directory; /* of the instance or build: shim.lock, pid.json, exit.json */
    const char *log;
    const char *working_directory; /* of the child; NULL: as the shim's */
    const char *header; /* first line of the log, without time */
    uint64_t max_bytes;
    unsigned keep;
    int status_fd;
    uint64_t open_files; /* soft limit of the child, 0: as the shim's */
    char **command;
};

/* Returns whether the command line is complete; says on stderr what is wrong with it. */
bool options_parse(int argc, char **argv, struct options *options);
