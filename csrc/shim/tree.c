#define _GNU_SOURCE
#include "tree.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct process {
    pid_t pid, parent;
    uint64_t start;
    bool descends;
};

struct processes {
    struct process *items;
    size_t count, capacity;
};

static bool read_process(pid_t pid, struct process *process) {
    char path[48], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length <= 0)
        return false;
    text[length] = '\0';
    /* the name in parentheses may contain anything, so the fields are counted from the last parenthesis */
    char *fields = strrchr(text, ')');
    int parent;
    unsigned long long start;
    const char *format = ") %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu";
    if (fields == NULL || sscanf(fields, format, &parent, &start) != 2)
        return false;
    *process = (struct process){.pid = pid, .parent = (pid_t)parent, .start = start};
    return true;
}

uint64_t tree_start_time(pid_t pid) {
    struct process process;
    return read_process(pid, &process) ? process.start : 0;
}

static bool add(struct processes *all, pid_t pid) {
    if (all->count == all->capacity) {
        size_t capacity = all->capacity == 0 ? 512 : 2 * all->capacity;
        struct process *items = realloc(all->items, capacity * sizeof *items);
        if (items == NULL)
            return false;
        all->items = items;
        all->capacity = capacity;
    }
    if (read_process(pid, &all->items[all->count]))
        all->count++;
    return true;
}

static int list_processes(struct processes *all) {
    DIR *proc = opendir("/proc");
    if (proc == NULL)
        return -errno;
    bool complete = true;
    for (struct dirent *entry; complete && (entry = readdir(proc)) != NULL;)
        if (isdigit((unsigned char)entry->d_name[0]))
            complete = add(all, (pid_t)atoi(entry->d_name));
    closedir(proc);
    return complete ? 0 : -ENOMEM;
}

static bool parent_descends(const struct processes *all, pid_t parent, pid_t root) {
    if (parent == root)
        return true;
    for (size_t index = 0; index < all->count; index++)
        if (all->items[index].pid == parent)
            return all->items[index].descends;
    return false;
}

static void mark_descendants(struct processes *all, pid_t root) {
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t index = 0; index < all->count; index++) {
            struct process *process = &all->items[index];
            if (!process->descends && process->pid != root && parent_descends(all, process->parent, root))
                process->descends = changed = true;
        }
    }
}

/* A pid may have a new owner since the list was made; the descriptor holds one owner fast, its start time tells which. */
static int signal_process(const struct process *process, int signal) {
    int descriptor = (int)syscall(SYS_pidfd_open, process->pid, 0);
    if (descriptor < 0)
        return errno == ESRCH ? 0 : -errno;
    int error = 0;
    if (tree_start_time(process->pid) == process->start &&
        syscall(SYS_pidfd_send_signal, descriptor, signal, NULL, 0) != 0 && errno != ESRCH)
        error = -errno;
    close(descriptor);
    return error;
}

int tree_signal(pid_t root, int signal, void (*report)(void *context, pid_t pid, int error), void *context) {
    struct processes all = {0};
    int error = list_processes(&all);
    mark_descendants(&all, root);
    for (size_t index = 0; index < all.count; index++) {
        if (!all.items[index].descends)
            continue;
        int failed = signal_process(&all.items[index], signal);
        if (failed < 0)
            report(context, all.items[index].pid, -failed);
    }
    free(all.items);
    return error;
}
