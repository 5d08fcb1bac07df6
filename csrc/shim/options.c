#define _GNU_SOURCE
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

static bool number(const char *text, uint64_t least, uint64_t most, uint64_t *out) {
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < least || value > most) {
        fprintf(stderr, "peppy-shim: `%s` is not a number from %llu to %llu\n", text, (unsigned long long)least,
                (unsigned long long)most);
        return false;
    }
    *out = value;
    return true;
}

static bool accept_option(int option, const char *value, struct options *options) {
    uint64_t parsed = 0;
    bool valid = true;
    switch (option) {
    case 'd': options->directory = value; break;
    case 'l': options->log = value; break;
    case 'c': options->working_directory = value; break;
    case 'h': options->header = value; break;
    case 'm': valid = number(value, 1, INT64_MAX, &options->max_bytes); break;
    case 'n': valid = number(value, 1, INT64_MAX, &options->open_files); break;
    case 'k':
        valid = number(value, 0, 99, &parsed);
        options->keep = (unsigned)parsed;
        break;
    case 's':
        valid = number(value, 3, INT_MAX, &parsed);
        options->status_fd = (int)parsed;
        break;
    default: valid = false;
    }
    return valid;
}

bool options_parse(int argc, char **argv, struct options *options) {
    static const struct option known[] = {
        {"dir", required_argument, NULL, 'd'},       {"log", required_argument, NULL, 'l'},
        {"max-bytes", required_argument, NULL, 'm'}, {"keep", required_argument, NULL, 'k'},
        {"status-fd", required_argument, NULL, 's'}, {"header", required_argument, NULL, 'h'},
        {"nofile", required_argument, NULL, 'n'},    {"cwd", required_argument, NULL, 'c'},
        {0},
    };
    *options = (struct options){.status_fd = -1};
    for (int option; (option = getopt_long(argc, argv, "+", known, NULL)) != -1;)
        if (!accept_option(option, optarg, options))
            return false;
    options->command = argv + optind;
    if (options->directory != NULL && options->log != NULL && options->max_bytes > 0 && options->status_fd >= 0 &&
        optind < argc)
        return true;
    fprintf(stderr, "usage: peppy-shim --dir DIRECTORY --log FILE --max-bytes N --keep K --status-fd FD"
                    " [--cwd DIRECTORY] [--header TEXT] [--nofile N] -- COMMAND...\n");
    return false;
}
