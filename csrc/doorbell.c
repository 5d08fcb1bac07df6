/*
 * Sleeping and waking. A reader says so in the shared mask, looks once more, and sleeps on an eventfd; the writer takes
 * the mask with every message and rings for each bit. The ring is the truth, the doorbell only a hint: after every wake
 * the reader looks at everything again.
 */
#include "core.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__) || defined(__i386__)
#define PAUSE() __builtin_ia32_pause()
#else
#define PAUSE() ((void)0)
#endif

#define CLOSE_LOOKS 16u /* under the mutex: less than a microsecond */

/* A stranger's descriptor: only an eventfd never blocks its writer, and only with O_NONBLOCK set. That flag belongs to
 * the shared description, so we set it. */
int doorbell_accept(int fd)
{
    char path[32], target[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length < 0)
        return errno == ENOENT ? -EBADF : -errno;
    target[length] = '\0';
    if (strcmp(target, "anon_inode:[eventfd]") != 0)
        return -ENOTTY;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return -errno;
    if (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK))
        return -errno;
    return 0;
}

/* EAGAIN is success: a full counter is readable. Other errors mean a reader that is gone. */
void doorbell_ring(int fd)
{
    uint64_t one = 1;
    ssize_t ignored = write(fd, &one, sizeof one);
    (void)ignored;
}

static void doorbell_drain(int fd)
{
    uint64_t count;
    ssize_t ignored = read(fd, &count, sizeof count);
    (void)ignored;
}

int peppy_arm(struct peppy_reader *reader)
{
    int result = reader_enter(reader);
    if (result)
        return result;
    set_bits_both(&ctrl_of(&reader->mapping)->armed, 1ull << reader->row_number); /* SYNC sleep (reader half) */
    KILLPOINT(A1);
    result = reader_look(reader);
    reader_leave(reader);
    return result;
}

int peppy_waiting_since(struct peppy_reader *reader, uint64_t *publish_time_ns)
{
    int result = reader_enter(reader);
    if (result)
        return result;
    result = reader_look(reader);
    const struct descriptor *entry = &ring_of(&reader->mapping)[reader->cursor & (reader->geometry.slots - 1)];
    *publish_time_ns = load_acquire(&entry->publish_time_ns);
    if (load_acquire(&entry->seq) != reader->cursor) /* overwritten, or its time belonged to another message */
        *publish_time_ns = 0;
    reader_leave(reader);
    return result;
}

static int look(struct peppy_reader *reader)
{
    int result = reader_enter(reader);
    if (result)
        return result;
    result = reader_look(reader);
    reader_leave(reader);
    return result;
}

/* Most looks read the next message's descriptor alone: of all that the writer stores, its line is the one whose way to
 * this CPU counts, and a second line that is polled would cost the writer a second transfer. */
static int look_closely(struct peppy_reader *reader)
{
    int result = reader_enter(reader);
    if (result)
        return result;
    const struct descriptor *entry = &ring_of(&reader->mapping)[reader->cursor & (reader->geometry.slots - 1)];
    for (uint32_t looks = 0; looks < CLOSE_LOOKS; looks++) {
        if (load_acquire(&entry->seq) == reader->cursor) {
            reader_leave(reader);
            return PEPPY_OK;
        }
        PAUSE();
    }
    result = reader_look(reader); /* overtaken, or the end */
    reader_leave(reader);
    return result;
}

static int spin(struct peppy_reader *reader, int64_t spin_ns)
{
    uint64_t end = clock_ns(CLOCK_MONOTONIC) + (uint64_t)spin_ns;
    int result;
    while ((result = look_closely(reader)) == PEPPY_EMPTY && clock_ns(CLOCK_MONOTONIC) < end)
        ;
    return result;
}

/* 1 = rang, 0 = the time is up. `deadline` is on the monotonic clock, UINT64_MAX = never. */
static int sleep_on(int doorbell, uint64_t deadline)
{
    struct pollfd bell = {.fd = doorbell, .events = POLLIN};
    struct timespec *limit = NULL, left;
    if (deadline != UINT64_MAX) {
        uint64_t now = clock_ns(CLOCK_MONOTONIC), rest = deadline > now ? deadline - now : 0;
        left = (struct timespec){.tv_sec = (time_t)(rest / 1000000000u), .tv_nsec = (long)(rest % 1000000000u)};
        limit = &left;
    }
    int ready = ppoll(&bell, 1, limit, NULL);
    if (ready < 0)
        return -errno;
    if (ready == 0)
        return 0;
    if (!(bell.revents & POLLIN))
        return -EBADF;
    return 1;
}

/* After a wake it looks before it arms: the bit of a reader that is awake would cost the writer a ring for nothing. */
/* A bell that brought a message stays rung: `*rung` has the next wait quiet it, after the message was put to use. It is
 * quieted before the ring is looked at: afterwards would swallow a ring meant for what came in between. */
static int wait_for_message(struct peppy_reader *reader, int doorbell, uint64_t deadline, bool *rung)
{
    for (;;) {
        if (*rung)
            doorbell_drain(doorbell);
        *rung = false;
        int result = peppy_arm(reader);
        if (result != PEPPY_EMPTY)
            return result;
        int rang = sleep_on(doorbell, deadline);
        if (rang < 0)
            return rang;
        *rung = rang > 0;
        result = look(reader);
        if (result != PEPPY_EMPTY || rang == 0)
            return result;
        result = doorbell_accept(doorbell); /* what is no doorbell may be readable for ever: never spin on it */
        if (result) {
            *rung = false;
            return result;
        }
    }
}

int peppy_spin(struct peppy_reader *reader, int64_t spin_ns)
{
    int result = reader_enter(reader);
    if (result)
        return result;
    reader->calls++; /* the handle outlives this call, whoever closes it meanwhile */
    pthread_mutex_unlock(&reader->mutex);
    result = spin(reader, spin_ns);
    pthread_mutex_lock(&reader->mutex);
    reader->calls--;
    reader_leave(reader);
    return result;
}

int peppy_wait(struct peppy_reader *reader, int doorbell, int64_t timeout_ns, int64_t spin_ns)
{
    if (doorbell < 0)
        return -EBADF;
    uint64_t deadline = timeout_ns < 0 ? UINT64_MAX : clock_ns(CLOCK_MONOTONIC) + (uint64_t)timeout_ns;
    int result = reader_enter(reader);
    if (result)
        return result;
    reader->calls++; /* the handle outlives this call, whoever closes it meanwhile */
    result = reader_look(reader);
    bool rung = reader->rung;
    pthread_mutex_unlock(&reader->mutex);
    if (result == PEPPY_EMPTY && spin_ns > 0 && timeout_ns != 0)
        result = spin(reader, timeout_ns > 0 && timeout_ns < spin_ns ? timeout_ns : spin_ns);
    if (result == PEPPY_EMPTY)
        result = wait_for_message(reader, doorbell, deadline, &rung);
    pthread_mutex_lock(&reader->mutex);
    reader->rung = rung;
    reader->calls--;
    reader_leave(reader);
    return result;
}

/* A message that another thread took first is waited for again; an interrupted wait begins anew with its caller. */
int peppy_receive(struct peppy_reader *reader, int doorbell, int64_t timeout_ns, int64_t spin_ns, void *buffer,
                  uint64_t room, struct peppy_message *message)
{
    uint64_t deadline = 0;
    for (;;) {
        int result = peppy_take_copy(reader, buffer, room, message);
        if (result != PEPPY_EMPTY)
            return result;
        int64_t left = timeout_ns;
        if (timeout_ns > 0) {
            uint64_t now = clock_ns(CLOCK_MONOTONIC);
            deadline = deadline ? deadline : now + (uint64_t)timeout_ns;
            left = deadline > now ? (int64_t)(deadline - now) : 0;
        }
        result = peppy_wait(reader, doorbell, left, spin_ns);
        if (result != PEPPY_OK)
            return result;
    }
}
