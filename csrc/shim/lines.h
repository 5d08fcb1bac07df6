/* Cuts the bytes of one output of a node into lines of valid UTF-8 for the log. */
#pragma once

#include "log.h"

/* Longer lines are cut. With every byte replaced by U+FFFD a piece stays below the smallest log file (64 KiB). */
enum { LINES_PIECE_BYTES = 16 << 10, LINES_UNFINISHED_MS = 200 };

struct lines {
    struct log *log;
    const char *label;
    int64_t unfinished_since_ms; /* monotonic; time of the oldest byte that waits for its newline */
    bool continued;              /* the line's beginning is already in the log */
    size_t length;
    char bytes[LINES_PIECE_BYTES];
};

void lines_feed(struct lines *lines, const char *bytes, size_t length, int64_t now_ms);

/* Milliseconds until the unfinished line has to go to the log, 0 when it is due, -1 when there is none. */
int lines_due_ms(const struct lines *lines, int64_t now_ms);

/* Sends the unfinished line to the log; a character that is itself unfinished waits, unless this is the end. */
void lines_flush(struct lines *lines, bool end);
