/*
 * Leases: one locked byte each on the CTRL file. The kernel drops them on any kind of death, so the lock is the
 * authority on who lives; pids are for people.
 *
 * A lock belongs to the open file description. A received descriptor shares its sender's, so every handle makes its own
 * description through /proc/self/fd, locks that one, never maps it (a mapping inherited by a fork child would keep it
 * alive) and never passes it on.
 */
#include "core.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* A fork child closes its copies of all lease descriptors, without unlocking: the lock is the parent's. */
static pthread_mutex_t registry_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct lease *registry;
static _Atomic unsigned process_generation;
static pthread_once_t fork_guard = PTHREAD_ONCE_INIT;

static void before_fork(void)
{
    pthread_mutex_lock(&registry_mutex);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_unlock(&registry_mutex);
}

static void after_fork_in_child(void)
{
    store_relaxed(&process_generation, load_relaxed(&process_generation) + 1);
    for (struct lease *lease = registry; lease; lease = lease->next) {
        close(lease->fd);
        lease->fd = -1;
    }
    registry = NULL;
    pthread_mutex_unlock(&registry_mutex);
}

static void install_fork_guard(void)
{
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

bool lease_inherited(const struct lease *lease)
{
    return lease->generation != load_relaxed(&process_generation); /* relaxed: fork itself orders it */
}

int lease_open(struct lease *lease, int ctrl_fd)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", ctrl_fd);
    pthread_once(&fork_guard, install_fork_guard);
    pthread_mutex_lock(&registry_mutex); /* before open: a fork in between would leak the descriptor to the child */
    lease->fd = open(path, O_RDWR | O_CLOEXEC);
    if (lease->fd < 0) {
        int error = errno;
        pthread_mutex_unlock(&registry_mutex);
        return -error;
    }
    lease->generation = load_relaxed(&process_generation);
    lease->previous = NULL;
    lease->next = registry;
    if (registry)
        registry->previous = lease;
    registry = lease;
    pthread_mutex_unlock(&registry_mutex);
    return 0;
}

/* The caller has unlocked its byte: close alone would leave the lock with a child between fork and exec. */
void lease_close(struct lease *lease)
{
    pthread_mutex_lock(&registry_mutex);
    if (lease->previous)
        lease->previous->next = lease->next;
    else
        registry = lease->next;
    if (lease->next)
        lease->next->previous = lease->previous;
    close(lease->fd);
    lease->fd = -1;
    pthread_mutex_unlock(&registry_mutex);
}

static struct flock byte_range(short type, int byte)
{
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
}

int lease_lock(struct lease *lease, int byte)
{
    struct flock range = byte_range(F_WRLCK, byte);
    if (fcntl(lease->fd, F_OFD_SETLK, &range) == 0)
        return 0;
    return errno == EACCES ? -EAGAIN : -errno;
}

void lease_unlock(struct lease *lease, int byte)
{
    struct flock range = byte_range(F_UNLCK, byte);
    fcntl(lease->fd, F_OFD_SETLK, &range);
}

/* Asking has no side effect, and never sees our own locks: a description does not conflict with itself. */
int lease_held_elsewhere(const struct lease *lease, int byte)
{
    struct flock range = byte_range(F_WRLCK, byte);
    if (fcntl(lease->fd, F_OFD_GETLK, &range) != 0)
        return -errno;
    return range.l_type != F_UNLCK;
}
