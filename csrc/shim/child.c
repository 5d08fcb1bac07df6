#define _GNU_SOURCE
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

enum { READ, WRITE };

/* Looks the command up in PATH. execvp would hand a file without interpreter line to a shell; a node never runs in one. */
static int execute(char **command) {
    char path[PATH_MAX];
    int error = ENOENT;
    if (command[0][0] == '\0')
        return ENOENT;
    if (strchr(command[0], '/') != NULL) {
        execve(command[0], command, environ);
        return errno;
    }
    const char *element = getenv("PATH");
    if (element == NULL)
        element = "/usr/local/bin:/usr/bin:/bin";
    for (const char *end = element; end != NULL; element = end + 1) {
        end = strchr(element, ':');
        int length = end == NULL ? (int)strlen(element) : (int)(end - element);
        int size = snprintf(path, sizeof path, "%.*s/%s", length, element, command[0]);
        if (length == 0 || size >= (int)sizeof path)
            continue;
        execve(path, command, environ);
        if (errno == EACCES)
            error = EACCES; /* as a shell does: a later directory may have one that can be run */
        else if (errno != ENOENT && errno != ENOTDIR)
            return errno;
    }
    return error;
}

static void restore_signals(void) {
    sigset_t none;
    sigemptyset(&none);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void restore_open_files(uint64_t soft) {
    struct rlimit limit;
    if (soft == 0 || getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = soft < limit.rlim_max ? (rlim_t)soft : limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void run_child(char **command, uint64_t open_files, int go, int exec_error, int output, int errors) {
    char byte;
    /* Without its shim a child would run on with nobody who knows it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (read(go, &byte, 1) != 1)
        _exit(1);
    int error = dup2(output, STDOUT_FILENO) < 0 || dup2(errors, STDERR_FILENO) < 0 ? errno : 0;
    if (error == 0) {
        restore_open_files(open_files);
        restore_signals();
        error = execute(command);
    }
    ssize_t ignored = write(exec_error, &error, sizeof error);
    (void)ignored;
    _exit(127);
}

int child_fork(char **command, uint64_t open_files, struct child *child) {
    int go[2], exec_error[2], output[2], errors[2];
    if (pipe2(go, O_CLOEXEC) != 0 || pipe2(exec_error, O_CLOEXEC) != 0 || pipe2(output, O_CLOEXEC) != 0 ||
        pipe2(errors, O_CLOEXEC) != 0)
        return -errno; /* the shim ends at once, so nothing is closed here */
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0) {
        close(go[WRITE]); /* or the end of the shim would not be seen */
        run_child(command, open_files, go[READ], exec_error[WRITE], output[WRITE], errors[WRITE]);
    }
    close(go[READ]);
    close(exec_error[WRITE]);
    close(output[WRITE]);
    close(errors[WRITE]);
    fcntl(output[READ], F_SETFL, O_NONBLOCK);
    fcntl(errors[READ], F_SETFL, O_NONBLOCK);
    *child = (struct child){
        .pid = pid, .go = go[WRITE], .exec_error = exec_error[READ], .output = output[READ], .errors = errors[READ]};
    return 0;
}

void child_release(struct child *child) {
    ssize_t ignored = write(child->go, "", 1);
    (void)ignored;
    close(child->go);
    child->go = -1;
}
