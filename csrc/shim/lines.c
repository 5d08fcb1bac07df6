#define _GNU_SOURCE
#include "lines.h"

#include <string.h>

enum { INVALID = 0, UNFINISHED = -1 };

/* The length of the UTF-8 character at the start of `text`, INVALID, or UNFINISHED when more bytes could complete it. */
static int character(const unsigned char *text, size_t length) {
    unsigned char first = text[0], low = 0x80, high = 0xBF;
    int size;
    if (first < 0x80)
        return 1;
    if (first >= 0xC2 && first <= 0xDF)
        size = 2;
    else if ((first & 0xF0) == 0xE0)
        size = 3;
    else if (first >= 0xF0 && first <= 0xF4)
        size = 4;
    else
        return INVALID;
    /* the second byte excludes overlong forms, surrogates, and what lies beyond U+10FFFF */
    if (first == 0xE0)
        low = 0xA0;
    else if (first == 0xED)
        high = 0x9F;
    else if (first == 0xF0)
        low = 0x90;
    else if (first == 0xF4)
        high = 0x8F;
    for (int index = 1; index < size; index++) {
        if ((size_t)index >= length)
            return UNFINISHED;
        if (text[index] < low || text[index] > high)
            return INVALID;
        low = 0x80;
        high = 0xBF;
    }
    return size;
}

/* Copies text with U+FFFD for every byte that belongs to no character. `out` holds three times `length`. */
static size_t replace_invalid(const char *text, size_t length, char *out) {
    size_t written = 0;
    for (size_t at = 0; at < length;) {
        int size = character((const unsigned char *)text + at, length - at);
        if (size > 0) {
            memcpy(out + written, text + at, (size_t)size);
            written += (size_t)size;
            at += (size_t)size;
        } else {
            memcpy(out + written, "\xEF\xBF\xBD", 3);
            written += 3;
            at++;
        }
    }
    return written;
}

/* How many bytes at the end are the beginning of a character. */
static size_t unfinished_tail(const char *text, size_t length) {
    for (size_t back = 1; back <= 3 && back <= length; back++)
        if (((unsigned char)text[length - back] & 0xC0) == 0xC0)
            return character((const unsigned char *)text + length - back, back) == UNFINISHED ? back : 0;
    return 0;
}

static void emit(struct lines *lines, size_t length) {
    char text[3 * LINES_PIECE_BYTES];
    log_line(lines->log, lines->label, text, replace_invalid(lines->bytes, length, text));
}

static void end_line(struct lines *lines) {
    if (lines->length > 0 && lines->bytes[lines->length - 1] == '\r')
        lines->length--;
    if (lines->length > 0 || !lines->continued)
        emit(lines, lines->length);
    lines->length = 0;
    lines->continued = false;
}

void lines_feed(struct lines *lines, const char *bytes, size_t length, int64_t now_ms) {
    if (lines->length == 0)
        lines->unfinished_since_ms = now_ms;
    while (length > 0) {
        const char *newline = memchr(bytes, '\n', length);
        size_t take = newline == NULL ? length : (size_t)(newline - bytes);
        size_t room = LINES_PIECE_BYTES - lines->length;
        bool cut = take > room;
        take = cut ? room : take;
        memcpy(lines->bytes + lines->length, bytes, take);
        lines->length += take;
        bytes += take;
        length -= take;
        if (cut) {
            lines_flush(lines, false);
        } else if (newline != NULL) {
            end_line(lines);
            bytes++;
            length--;
            lines->unfinished_since_ms = now_ms;
        }
    }
}

int lines_due_ms(const struct lines *lines, int64_t now_ms) {
    if (lines->length == 0 || lines->length == unfinished_tail(lines->bytes, lines->length))
        return -1;
    int64_t left = lines->unfinished_since_ms + LINES_UNFINISHED_MS - now_ms;
    return left > 0 ? (int)left : 0;
}

void lines_flush(struct lines *lines, bool end) {
    size_t tail = end ? 0 : unfinished_tail(lines->bytes, lines->length);
    size_t length = lines->length - tail;
    if (length == 0)
        return;
    emit(lines, length);
    memmove(lines->bytes, lines->bytes + length, tail);
    lines->length = tail;
    lines->continued = true;
}
