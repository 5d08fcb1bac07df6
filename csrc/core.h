#pragma once
/*
 * What the files of the core share: the private half of a stream. Everything here is heap of one process; nothing of
 * it is ever read back from shared memory.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "layout.h"
#include "peppy_ring.h"

/* The numbered steps of ring.md's algorithms. Only the harness of test/ compiles them in; it dies at the one named. */
#ifdef PEPPY_KILLPOINTS
void killpoint(const char *name);
#define KILLPOINT(name) killpoint(#name)
#else
#define KILLPOINT(name) ((void)0)
#endif

static inline uint64_t clock_ns(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static inline void copy_bytes(void *to, const void *from, uint64_t length)
{
    if (length > 0) /* an empty message may come without an address, which memcpy does not allow */
        memcpy(to, from, length);
}

/* --- geometry.c and segment.c: two files, one geometry ------------------------------------------------------------ */
struct geometry {
    struct peppy_config config; /* capacity already rounded up */
    uint32_t slots, chunks;
    uint64_t stride, off_pool, data_size, ctrl_size;
};

struct mapping {
    uint8_t *data, *ctrl;
    uint64_t data_size, ctrl_size;
};

int geometry_plan(const struct peppy_config *config, struct geometry *geometry);
int geometry_check(struct geometry *geometry);
int segment_create(const struct geometry *geometry, struct mapping *mapping, int *data_fd, int *ctrl_fd);
int segment_attach(int data_fd, int ctrl_fd, int ctrl_protection, struct geometry *geometry, struct mapping *mapping);
int segment_allocate(int fd, uint64_t first, uint64_t end);
void segment_unmap(struct mapping *mapping);

static inline struct hot_page *hot_of(const struct mapping *mapping)
{
    return (struct hot_page *)(mapping->data + HOT_OFFSET);
}

static inline struct descriptor *ring_of(const struct mapping *mapping)
{
    return (struct descriptor *)(mapping->data + RING_OFFSET);
}

static inline struct ctrl_header *ctrl_of(const struct mapping *mapping)
{
    return (struct ctrl_header *)mapping->ctrl;
}

static inline struct row *row_of(const struct mapping *mapping, uint32_t row)
{
    return (struct row *)(mapping->ctrl + ROWS_OFFSET) + row;
}

static inline struct chunk_header *chunk_of(const struct geometry *geometry, const struct mapping *mapping,
                                            uint32_t chunk)
{
    return (struct chunk_header *)(mapping->data + geometry->off_pool + chunk * geometry->stride);
}

static inline uint64_t canary_of(uint64_t seq, uint64_t length, uint64_t epoch_lo)
{
    return (seq * 0x9e3779b97f4a7c15ull ^ length) + epoch_lo;
}

/* --- lease.c: life and death by byte locks, and what a fork must not inherit -------------------------------------- */
struct lease {
    int fd; /* our own description of the CTRL file: never mapped, never passed on; -1 in a fork child */
    unsigned generation;
    struct lease *next, *previous;
};

#define WRITER_BYTE 0
#define ROW_BYTE(row) (1 + (int)(row))

int lease_open(struct lease *lease, int ctrl_fd);
void lease_close(struct lease *lease);
int lease_lock(struct lease *lease, int byte); /* 0, or -EAGAIN: somebody else lives */
void lease_unlock(struct lease *lease, int byte);
int lease_held_elsewhere(const struct lease *lease, int byte);
bool lease_inherited(const struct lease *lease); /* true in a fork child: touch nothing */

/* --- doorbell.c --------------------------------------------------------------------------------------------------- */
int doorbell_accept(int fd);
void doorbell_ring(int fd);

/* --- writer: chunks.c (where messages lie), rows.c (who reads), writer.c (publishing) ----------------------------- */
struct peppy_writer {
    pthread_mutex_t mutex;
    struct lease lease;
    struct geometry geometry;
    struct mapping mapping;
    int data_fd, ctrl_fd;

    uint64_t next_seq;
    bool closed;
    uint64_t published, bytes, no_chunk, bells, scans, reclaimed_rows, max_length;

    /* chunks: each number is in exactly one place: free, retired, held (shadow), loaned, being filled, or >= used */
    uint32_t used, easy_limit; /* ever used; below easy_limit a fresh one is preferred to a scan */
    uint32_t free_count, retired_count, loan_count;
    uint32_t *free, *retired, *shadow;
    uint64_t *marks, mark; /* chunks with marks[c] == mark are pinned, as of the scan under way */
    uint64_t *backed;  /* bytes of the chunk that have memory behind them */
    uint64_t *loaned;  /* 1 + bytes promised to the loan, 0 = not loaned */

    uint64_t reserved, next_ticket; /* bit r = row r is somebody's */
    uint64_t ticket[PEPPY_MAX_ROWS];
    uint64_t start[PEPPY_MAX_ROWS]; /* what each row was promised first */
    int doorbell[PEPPY_MAX_ROWS];

    bool reliable;
    int space_fd;      /* the eventfd that readers ring for room, -1 on overwriting streams */
    uint64_t holding;  /* bit r = row r holds the writer until it has taken what would be overwritten */
    uint64_t room_end; /* sequences below it have room, whoever reads; UINT64_MAX on overwriting streams */
};

int writer_enter(struct peppy_writer *writer); /* lock the mutex; -ECHILD in a fork child */
void writer_leave(struct peppy_writer *writer);

int chunk_take(struct peppy_writer *writer, uint64_t length, uint32_t *chunk);
void chunk_put_back(struct peppy_writer *writer, uint32_t chunk);
void chunk_retire(struct peppy_writer *writer, uint32_t chunk);

int row_take_back(struct peppy_writer *writer, uint32_t row);
uint64_t rows_take_back_dead(struct peppy_writer *writer, bool only_pinning);
bool row_is_known(const struct peppy_writer *writer, uint32_t row, uint64_t ticket);
bool row_has_pins(const struct peppy_writer *writer, uint32_t row);

/* --- space.c: room on reliable streams ---------------------------------------------------------------------------- */
int space_open(struct peppy_writer *writer);
void space_hold(struct peppy_writer *writer, uint32_t row);
bool space_found(struct peppy_writer *writer);
void space_ring(const struct peppy_writer *writer);

static inline bool has_room(struct peppy_writer *writer)
{
    return writer->next_seq < writer->room_end || space_found(writer);
}

/* --- reader ------------------------------------------------------------------------------------------------------- */
struct peppy_reader {
    pthread_mutex_t mutex;
    struct lease lease;
    struct geometry geometry;
    struct mapping mapping;
    struct row *row;
    uint32_t row_number;
    int lapped;

    uint64_t cursor, taken, lost, skipped, corrupt, last_take_ns;
    uint32_t copies_forced, until_stamp;
    uint16_t held_max;

    uint32_t pins_used, views; /* bit p = pin p is in use, by a view or by a copy under way */
    const uint8_t *pinned[PEPPY_MAX_PINS];
    uint32_t calls;    /* under way outside the mutex: copies, waits */
    bool closing, reliable;
    bool rung; /* the doorbell that woke the last wait has not been quieted yet */
    int space; /* the writer's eventfd, -1 = the writer looks by itself */
    word32 *populated; /* pages of each chunk that this process has mapped in */
};

int reader_enter(struct peppy_reader *reader); /* -ECHILD in a fork child, -ESHUTDOWN after close */
void reader_leave(struct peppy_reader *reader);
int reader_look(const struct peppy_reader *reader);
int reader_pin_next(struct peppy_reader *reader, bool for_copy, int lapped, uint64_t room,
                    struct peppy_message *message);
void reader_clear_pin(struct peppy_reader *reader, uint32_t pin);
void reader_publish_cursor(struct peppy_reader *reader, uint64_t cursor);

/* The cursor has moved: others see it. On overwriting streams it is a counter, on reliable ones it makes room. */
static inline void reader_moved(struct peppy_reader *reader)
{
    if (reader->reliable)
        reader_publish_cursor(reader, reader->cursor);
    else
        store_relaxed(&reader->row->cursor, reader->cursor);
}
