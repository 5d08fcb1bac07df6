/*
 * What the machine itself can do, for figures to be compared with. Prints samples, one number per line:
 *
 *   floors eventfd CPU CPU COUNT     round trips over two eventfds and epoll, nanoseconds
 *   floors cacheline CPU CPU COUNT   round trips of one cache line between two spinning processes, nanoseconds
 *   floors memcpy CPU BYTES COUNT BUFFERS   warm copies of one buffer into so many others in turn, nanoseconds
 *
 * A CPU of -1 means any.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64 /* bounces per sample: one takes less time than reading the clock */

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void pin(int cpu)
{
    if (cpu < 0)
        return;
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(cpu, &cpus);
    if (sched_setaffinity(0, sizeof cpus, &cpus))
        exit(1);
}

static void *allocate(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        exit(1);
    return memory;
}

static void ring(int fd)
{
    uint64_t one = 1;
    if (write(fd, &one, sizeof one) != sizeof one)
        exit(1);
}

static int watch(int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    int epoll = epoll_create1(0);
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
        exit(1);
    return epoll;
}

static void await(int epoll, int fd)
{
    struct epoll_event event;
    uint64_t count;
    while (epoll_wait(epoll, &event, 1, -1) != 1)
        ;
    if (read(fd, &count, sizeof count) != sizeof count)
        exit(1);
}

static void measure_eventfd(int here, int there, int count, uint64_t *samples)
{
    int ping = eventfd(0, EFD_NONBLOCK), pong = eventfd(0, EFD_NONBLOCK);
    pid_t child = fork();
    if (child == 0) {
        pin(there);
        int epoll = watch(ping);
        for (int i = 0; i < count; i++) {
            await(epoll, ping);
            ring(pong);
        }
        _exit(0);
    }
    pin(here);
    int epoll = watch(pong);
    for (int i = 0; i < count; i++) {
        uint64_t start = now();
        ring(ping);
        await(epoll, pong);
        samples[i] = now() - start;
    }
    waitpid(child, NULL, 0);
}

struct lines {
    _Alignas(64) _Atomic uint64_t ping;
    _Alignas(64) _Atomic uint64_t pong;
};

static void measure_cacheline(int here, int there, int count, uint64_t *samples)
{
    struct lines *lines = allocate(sizeof *lines);
    const uint64_t total = (uint64_t)count * BATCH;
    pid_t child = fork();
    if (child == 0) {
        pin(there);
        for (uint64_t turn = 1; turn <= total; turn++) {
            while (atomic_load_explicit(&lines->ping, memory_order_acquire) != turn)
                ;
            atomic_store_explicit(&lines->pong, turn, memory_order_release);
        }
        _exit(0);
    }
    pin(here);
    uint64_t turn = 0;
    for (int i = 0; i < count; i++) {
        uint64_t start = now();
        for (int bounce = 0; bounce < BATCH; bounce++) {
            atomic_store_explicit(&lines->ping, ++turn, memory_order_release);
            while (atomic_load_explicit(&lines->pong, memory_order_acquire) != turn)
                ;
        }
        samples[i] = (now() - start) / BATCH;
    }
    waitpid(child, NULL, 0);
}

static void measure_memcpy(int cpu, size_t bytes, int count, size_t buffers, uint64_t *samples)
{
    pin(cpu);
    char *from = allocate(bytes), *targets = allocate(bytes * buffers);
    memset(from, 1, bytes);
    memset(targets, 2, bytes * buffers);
    for (int i = 0; i < count; i++) {
        char *to = targets + (size_t)i % buffers * bytes;
        uint64_t start = now();
        memcpy(to, from, bytes);
        __asm__ volatile("" ::"r"(to) : "memory");
        samples[i] = now() - start;
    }
}

int main(int arguments, char **argument)
{
    if (arguments < 5)
        return 2;
    int first = atoi(argument[2]), count = atoi(argument[4]);
    uint64_t *samples = calloc((size_t)count, sizeof *samples);
    if (!samples)
        return 1;
    if (!strcmp(argument[1], "eventfd"))
        measure_eventfd(first, atoi(argument[3]), count, samples);
    else if (!strcmp(argument[1], "cacheline"))
        measure_cacheline(first, atoi(argument[3]), count, samples);
    else if (!strcmp(argument[1], "memcpy") && arguments == 6)
        measure_memcpy(first, strtoull(argument[3], NULL, 10), count, strtoull(argument[5], NULL, 10), samples);
    else
        return 2;
    for (int i = 0; i < count; i++)
        printf("%lu\n", (unsigned long)samples[i]);
    return 0;
}
