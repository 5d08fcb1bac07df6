/* The log of one node: whole lines with their time, rotated by size, written by a thread of its own.
 *
 * log_line() never waits for the disk: lines go to a buffer, the thread writes them. A line that finds the buffer full,
 * or that the disk refuses, is counted, and the count is written as `[warning] N lines dropped` where they are missing. */
#pragma once

#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum { LOG_TIME_BYTES = 26, LOG_BUFFER_BYTES = 4 << 20 };

struct log {
    /* set by log_open, then read only */
    int directory;
    char name[NAME_MAX + 1];
    uint64_t max_bytes;
    unsigned keep;
    pthread_t thread;
    /* owned by the thread */
    int file;
    uint64_t size;
    uint64_t lost; /* lines that are missing after what the file holds */
    char *writing;
    /* guarded by the mutex */
    pthread_mutex_t mutex;
    pthread_cond_t filled, drained;
    char *filling;
    size_t filling_length;
    uint64_t dropped; /* lines that came after those in `filling` and found it full */
    bool busy;
    /* owned by the caller of log_line: the text of the current second */
    time_t second;
    char second_text[LOG_TIME_BYTES];
};

/* Opens the log (an existing one is rotated away) and starts its thread. Returns 0 or -errno. */
int log_open(struct log *log, const char *path, uint64_t max_bytes, unsigned keep);

/* Adds one line: `[<time>] [<label>] <text>`, or without label `[<time>] <text>`. The text is valid UTF-8 without newline. */
void log_line(struct log *log, const char *label, const char *text, size_t length);

/* Waits until all lines so far are written or counted as lost, at most `limit_ms`. Returns whether they are. */
bool log_flush(struct log *log, int limit_ms);
