#pragma once
/* Child processes that say one character when they have got somewhere, so that no test sleeps instead. The
 * Makefile's time limit ends a program that hangs. */
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "claims.h"

/* The child dies with its parent: a program that ends at a broken claim leaves nothing running. */
static inline pid_t fork_child(void)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    return child;
}

static inline pid_t start_child(int told[2])
{
    CHECK(pipe(told) == 0);
    return fork_child();
}

static inline void say(int told[2], char what)
{
    CHECK(write(told[1], &what, 1) == 1);
}

static inline char hear(int told[2])
{
    char what;
    CHECK(read(told[0], &what, 1) == 1);
    return what;
}

static inline void close_ends(int told[2])
{
    close(told[0]);
    close(told[1]);
}

static inline void kill_child(pid_t child)
{
    int status;
    kill(child, SIGKILL);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static inline void join_child(pid_t child)
{
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static inline int new_doorbell(void)
{
    int bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    CHECK(bell >= 0);
    return bell;
}
