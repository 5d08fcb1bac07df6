#define _GNU_SOURCE
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- time ------------------------------------------------------------------------------------------------------- */

static size_t write_time(time_t *second, char *second_text, char *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != *second) { /* local time is costly and changes once per second */
        struct tm local;
        localtime_r(&now.tv_sec, &local);
        strftime(second_text, LOG_TIME_BYTES, "[%Y-%m-%dT%H:%M:%S", &local);
        *second = now.tv_sec;
    }
    return (size_t)snprintf(out, 32, "%.20s.%03ld] ", second_text, now.tv_nsec / 1000000);
}

/* ---- file: everything here runs in the thread (log_open calls it before the thread exists) ------------------------ */

static void name_of(const struct log *log, unsigned number, char *out, size_t size) {
    if (number == 0)
        snprintf(out, size, "%s", log->name);
    else
        snprintf(out, size, "%s.%u", log->name, number);
}

static int open_file(struct log *log) {
    struct stat status;
    log->file = openat(log->directory, log->name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (log->file < 0)
        return -errno;
    log->size = fstat(log->file, &status) == 0 ? (uint64_t)status.st_size : 0;
    return 0;
}

static void rotate(struct log *log) {
    char from[NAME_MAX + 16], to[NAME_MAX + 16];
    if (log->file >= 0)
        close(log->file);
    log->file = -1;
    for (unsigned number = log->keep; number > 0; number--) {
        name_of(log, number - 1, from, sizeof from);
        name_of(log, number, to, sizeof to);
        renameat(log->directory, from, log->directory, to);
    }
    if (log->keep == 0)
        unlinkat(log->directory, log->name, 0);
    open_file(log);
}

static uint64_t count_lines(const char *text, size_t length) {
    uint64_t lines = 0;
    for (const char *end = text + length; (text = memchr(text, '\n', (size_t)(end - text))) != NULL; text++)
        lines++;
    return lines;
}

static size_t whole_lines(const char *text, size_t length) {
    const char *newline = length == 0 ? NULL : memrchr(text, '\n', length);
    return newline == NULL ? 0 : (size_t)(newline - text) + 1;
}

/* Writes whole lines that fit into the file. Returns the bytes written; a line that was cut by a full disk is taken back. */
static size_t append(struct log *log, const char *text, size_t length) {
    size_t done = 0;
    while (done < length) {
        ssize_t count = write(log->file, text + done, length - done);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            break;
        done += (size_t)count;
    }
    if (done < length) {
        size_t whole = whole_lines(text, done);
        if (whole < done && ftruncate(log->file, (off_t)(log->size + whole)) != 0)
            whole = done;
        done = whole;
    }
    log->size += done;
    return done;
}

/* Writes lines, rotating where the file is full. Returns the bytes written. */
static size_t write_lines(struct log *log, const char *text, size_t length) {
    size_t done = 0;
    while (done < length) {
        if (log->file < 0 && open_file(log) < 0)
            return done;
        size_t left = length - done;
        size_t room = log->size < log->max_bytes ? (size_t)(log->max_bytes - log->size) : 0;
        size_t take = left <= room ? left : whole_lines(text + done, room);
        if (take == 0 && log->size > 0) {
            rotate(log);
            continue;
        }
        if (take == 0) /* one line longer than a whole file: the shim cuts lines far below, so it is merely kept whole */
            take = left;
        size_t count = append(log, text + done, take);
        done += count;
        if (count < take)
            return done;
    }
    return done;
}

static void report_lost(struct log *log) {
    char line[96], second_text[LOG_TIME_BYTES];
    time_t second = -1;
    if (log->lost == 0)
        return;
    size_t length = write_time(&second, second_text, line);
    length += (size_t)snprintf(line + length, sizeof line - length, "[warning] %" PRIu64 " lines dropped\n", log->lost);
    if (write_lines(log, line, length) == length)
        log->lost = 0;
}

static void write_chunk(struct log *log, size_t length, uint64_t dropped_after) {
    report_lost(log);
    size_t done = log->lost > 0 ? 0 : write_lines(log, log->writing, length);
    log->lost += count_lines(log->writing + done, length - done) + dropped_after;
    if (dropped_after > 0 && done == length)
        report_lost(log);
}

static void *run_thread(void *argument) {
    struct log *log = argument;
    pthread_mutex_lock(&log->mutex);
    for (;;) {
        while (log->filling_length == 0)
            pthread_cond_wait(&log->filled, &log->mutex);
        char *chunk = log->filling;
        size_t length = log->filling_length;
        uint64_t dropped = log->dropped;
        log->filling = log->writing;
        log->writing = chunk;
        log->filling_length = 0;
        log->dropped = 0;
        log->busy = true;
        pthread_mutex_unlock(&log->mutex);
        write_chunk(log, length, dropped);
        pthread_mutex_lock(&log->mutex);
        log->busy = false;
        if (log->filling_length == 0)
            pthread_cond_broadcast(&log->drained);
    }
    return NULL;
}

/* ---- public ------------------------------------------------------------------------------------------------------ */

static int open_directory(struct log *log, const char *path) {
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    char directory[PATH_MAX];
    size_t length = slash == NULL ? 0 : (size_t)(slash - path);
    if (name[0] == '\0' || strlen(name) + 4 > NAME_MAX || length >= sizeof directory)
        return -ENAMETOOLONG;
    snprintf(log->name, sizeof log->name, "%s", name);
    snprintf(directory, sizeof directory, "%.*s", (int)(slash == NULL ? 1 : length + 1), slash == NULL ? "." : path);
    log->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return log->directory < 0 ? -errno : 0;
}

int log_open(struct log *log, const char *path, uint64_t max_bytes, unsigned keep) {
    *log = (struct log){.file = -1, .max_bytes = max_bytes, .keep = keep, .second = -1};
    int error = open_directory(log, path);
    if (error == 0)
        error = open_file(log);
    if (error < 0)
        return error;
    if (log->size > 0)
        rotate(log);
    log->filling = malloc(LOG_BUFFER_BYTES);
    log->writing = malloc(LOG_BUFFER_BYTES);
    if (log->filling == NULL || log->writing == NULL)
        return -ENOMEM;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&log->mutex, NULL);
    pthread_cond_init(&log->filled, NULL);
    pthread_cond_init(&log->drained, &monotonic);
    return -pthread_create(&log->thread, NULL, run_thread, log);
}

void log_line(struct log *log, const char *label, const char *text, size_t length) {
    char prefix[64];
    size_t prefix_length = write_time(&log->second, log->second_text, prefix);
    if (label != NULL)
        prefix_length += (size_t)snprintf(prefix + prefix_length, sizeof prefix - prefix_length, "[%s] ", label);
    pthread_mutex_lock(&log->mutex);
    size_t at = log->filling_length;
    /* Once a line is dropped, so are those after it until the buffer is taken: their count stands where they are missing. */
    if (log->dropped > 0 || at + prefix_length + length + 1 > LOG_BUFFER_BYTES) {
        log->dropped++;
    } else {
        memcpy(log->filling + at, prefix, prefix_length);
        memcpy(log->filling + at + prefix_length, text, length);
        log->filling[at + prefix_length + length] = '\n';
        log->filling_length = at + prefix_length + length + 1;
        if (at == 0)
            pthread_cond_signal(&log->filled);
    }
    pthread_mutex_unlock(&log->mutex);
}

bool log_flush(struct log *log, int limit_ms) {
    struct timespec limit;
    clock_gettime(CLOCK_MONOTONIC, &limit);
    limit.tv_sec += limit_ms / 1000;
    limit.tv_nsec += (limit_ms % 1000) * 1000000L;
    if (limit.tv_nsec >= 1000000000L) {
        limit.tv_sec++;
        limit.tv_nsec -= 1000000000L;
    }
    int error = 0;
    pthread_mutex_lock(&log->mutex);
    while ((log->filling_length > 0 || log->busy) && error == 0)
        error = pthread_cond_timedwait(&log->drained, &log->mutex, &limit);
    bool drained = log->filling_length == 0 && !log->busy;
    pthread_mutex_unlock(&log->mutex);
    return drained;
}
