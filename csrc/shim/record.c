#define _GNU_SOURCE
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RECORD_BYTES = 512 };

int record_lock(int directory) {
    int file = openat(directory, "shim.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0)
        return -errno;
    struct flock whole_file = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(file, F_OFD_SETLK, &whole_file) == 0)
        return file;
    int error = errno == EACCES ? EAGAIN : errno;
    close(file);
    return -error;
}

/* Writes a text into the temporary file, which may have been reserved before, and gives it its name. */
static int put(int directory, const char *temporary, const char *name, const char *text, bool sync) {
    size_t length = strlen(text);
    int file = openat(directory, temporary, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0)
        return -errno;
    ssize_t written = pwrite(file, text, length, 0);
    int error = written == (ssize_t)length ? 0 : written < 0 ? -errno : -ENOSPC;
    if (error == 0 && ftruncate(file, (off_t)length) != 0)
        error = -errno;
    if (error == 0 && sync && fsync(file) != 0)
        error = -errno;
    close(file);
    if (error == 0 && renameat(directory, temporary, directory, name) != 0)
        error = -errno;
    if (error == 0 && sync && fsync(directory) != 0)
        error = -errno;
    return error;
}

/* Not synced: after a crash of the machine there is no such process to be found. */
int record_pids(int directory, pid_t shim, uint64_t shim_start, pid_t child, uint64_t child_start) {
    char text[RECORD_BYTES];
    snprintf(text, sizeof text,
             "{\"shim\": {\"pid\": %d, \"start\": %" PRIu64 "}, \"child\": {\"pid\": %d, \"start\": %" PRIu64 "}}\n",
             (int)shim, shim_start, (int)child, child_start);
    return put(directory, "pid.json.new", "pid.json", text, false);
}

/* Takes the space of exit.json beforehand, so that a disk that is full at the end does not cost the exit status. */
int record_reserve_exit(int directory) {
    int file = openat(directory, "exit.json.new", O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0)
        return -errno;
    int error = posix_fallocate(file, 0, RECORD_BYTES);
    close(file);
    return -error;
}

int record_exit(int directory, const struct exit_record *record) {
    char text[RECORD_BYTES], outcome[64];
    if (WIFSIGNALED(record->wait_status))
        snprintf(outcome, sizeof outcome, "\"status\": null, \"signal\": %d", WTERMSIG(record->wait_status));
    else
        snprintf(outcome, sizeof outcome, "\"status\": %d, \"signal\": null", WEXITSTATUS(record->wait_status));
    snprintf(text, sizeof text, "{%s, \"started_ns\": %" PRId64 ", \"ended_ns\": %" PRId64 ", \"killed\": %s}\n", outcome,
             record->started_ns, record->ended_ns, record->killed ? "true" : "false");
    return put(directory, "exit.json.new", "exit.json", text, true);
}
