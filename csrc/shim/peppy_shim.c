/* peppy-shim: the parent of one node or build. It outlives the daemon, so a daemon that dies neither blocks the node's
 * output nor loses its exit status.
 *
 *   start     session leader, child subreaper, lock on shim.lock, pid.json before the child execs
 *   status fd `started <pid>`, or `exec <errno> <text>`, or `error <errno> <what>: <text>`
 *   life      the child's output goes to the log (log.h); SIGTERM: TERM to all descendants, 1 s, then KILL
 *   end       exit.json when the child ends; the last line of the log and the shim's own end when no descendant is left
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "lines.h"
#include "log.h"
#include "options.h"
#include "record.h"
#include "tree.h"

enum {
    TERM_GRACE_MS = 1000,  /* between TERM and KILL */
    KILL_AGAIN_MS = 20,    /* a process may fork between the walk and its own end */
    EXIT_FLUSH_MS = 1000,  /* how long a stuck disk may hold up exit.json */
    END_FLUSH_MS = 5000,   /* and the shim's own end */
    READ_BYTES = 64 << 10,
};

enum { SIGNALS, EXEC_ERROR, OUTPUT, ERRORS, SOURCES };

struct shim {
    int directory, status_fd;
    struct child child;
    struct log log;
    struct lines output, errors;
    struct pollfd sources[SOURCES];
    struct exit_record end;
    bool descendants_left, kill_recorded;
    int64_t kill_at_ms; /* 0: nobody asked the shim to end its processes */
    pid_t reported;     /* the process whose signal error stands in the log */
};

static int64_t clock_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t epoch_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The daemon may be gone, which is no reason to end. */
__attribute__((format(printf, 2, 3))) static void tell(const struct shim *shim, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vdprintf(shim->status_fd, format, arguments);
    va_end(arguments);
}

static int fail(const struct shim *shim, const char *what, int error) {
    tell(shim, "error %d %s: %s\n", -error, what, strerror(-error));
    return EXIT_FAILURE;
}

__attribute__((format(printf, 3, 4))) static void note(struct shim *shim, const char *label, const char *format, ...) {
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    log_line(&shim->log, label, text, strlen(text));
}

/* ---- output ------------------------------------------------------------------------------------------------------ */

/* Returns whether more may come at once. */
static bool read_output(struct shim *shim, int source, struct lines *lines) {
    char bytes[READ_BYTES];
    struct pollfd *entry = &shim->sources[source];
    if (entry->fd < 0)
        return false;
    ssize_t count = read(entry->fd, bytes, sizeof bytes);
    if (count > 0) {
        lines_feed(lines, bytes, (size_t)count, clock_ms());
        return true;
    }
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    close(entry->fd);
    entry->fd = -1;
    return false;
}

/* Takes what the pipes hold now: at most a pipe's capacity each, so a descendant that keeps writing cannot hold it up. */
static void drain_output(struct shim *shim) {
    for (int round = 0; round < (1 << 20) / READ_BYTES && read_output(shim, OUTPUT, &shim->output); round++)
        continue;
    for (int round = 0; round < (1 << 20) / READ_BYTES && read_output(shim, ERRORS, &shim->errors); round++)
        continue;
}

static void flush_due_lines(struct shim *shim) {
    int64_t now = clock_ms();
    if (lines_due_ms(&shim->output, now) == 0)
        lines_flush(&shim->output, false);
    if (lines_due_ms(&shim->errors, now) == 0)
        lines_flush(&shim->errors, false);
}

/* ---- processes --------------------------------------------------------------------------------------------------- */

static void report_unsignalled(void *context, pid_t pid, int error) {
    struct shim *shim = context;
    if (shim->reported == pid)
        return;
    shim->reported = pid;
    note(shim, "error", "cannot signal process %d: %s", (int)pid, strerror(error));
}

static void signal_descendants(struct shim *shim, int number) {
    int error = tree_signal(getpid(), number, report_unsignalled, shim);
    if (error < 0)
        note(shim, "error", "cannot list processes: %s", strerror(-error));
}

static void write_exit(struct shim *shim) {
    int error = record_exit(shim->directory, &shim->end);
    shim->kill_recorded = shim->end.killed;
    if (error < 0)
        note(shim, "error", "cannot write exit.json: %s", strerror(-error));
}

static void end_child(struct shim *shim, int wait_status) {
    shim->end.wait_status = wait_status;
    shim->end.ended_ns = epoch_ns();
    drain_output(shim); /* who sees exit.json finds the child's words in the log */
    lines_flush(&shim->output, true);
    lines_flush(&shim->errors, true);
    log_flush(&shim->log, EXIT_FLUSH_MS);
    write_exit(shim);
}

static void reap(struct shim *shim) {
    for (;;) {
        int wait_status;
        pid_t pid = waitpid(-1, &wait_status, WNOHANG);
        if (pid == 0 || (pid < 0 && errno == EINTR))
            return;
        if (pid < 0) { /* no child: as subreaper the shim then has no descendant either */
            shim->descendants_left = false;
            return;
        }
        if (pid == shim->child.pid)
            end_child(shim, wait_status);
    }
}

static void take_signals(struct shim *shim) {
    struct signalfd_siginfo taken;
    while (read(shim->sources[SIGNALS].fd, &taken, sizeof taken) == (ssize_t)sizeof taken) {
        if (taken.ssi_signo == SIGCHLD || shim->kill_at_ms != 0)
            continue;
        signal_descendants(shim, SIGTERM);
        shim->kill_at_ms = clock_ms() + TERM_GRACE_MS;
    }
    reap(shim);
}

static void kill_when_due(struct shim *shim) {
    if (shim->kill_at_ms == 0 || clock_ms() < shim->kill_at_ms || !shim->descendants_left)
        return;
    shim->end.killed = true;
    signal_descendants(shim, SIGKILL);
    shim->kill_at_ms = clock_ms() + KILL_AGAIN_MS;
}

static void take_exec_result(struct shim *shim) {
    int error = 0;
    struct pollfd *entry = &shim->sources[EXEC_ERROR];
    if (read(entry->fd, &error, sizeof error) == (ssize_t)sizeof error) {
        note(shim, "error", "cannot execute: %s", strerror(error));
        tell(shim, "exec %d %s\n", error, strerror(error));
    } else {
        tell(shim, "started %d\n", (int)shim->child.pid);
    }
    close(entry->fd);
    entry->fd = -1;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static int earlier(int left_ms, int other_ms) {
    if (left_ms < 0 || (other_ms >= 0 && other_ms < left_ms))
        return other_ms;
    return left_ms;
}

static int next_timeout(const struct shim *shim) {
    int64_t now = clock_ms();
    int timeout = earlier(lines_due_ms(&shim->output, now), lines_due_ms(&shim->errors, now));
    if (shim->kill_at_ms == 0)
        return timeout;
    return earlier(timeout, shim->kill_at_ms > now ? (int)(shim->kill_at_ms - now) : 0);
}

static void live(struct shim *shim) {
    while (shim->descendants_left) {
        if (poll(shim->sources, SOURCES, next_timeout(shim)) < 0 && errno != EINTR)
            return;
        if (shim->sources[EXEC_ERROR].revents != 0)
            take_exec_result(shim);
        if (shim->sources[OUTPUT].revents != 0)
            read_output(shim, OUTPUT, &shim->output);
        if (shim->sources[ERRORS].revents != 0)
            read_output(shim, ERRORS, &shim->errors);
        if (shim->sources[SIGNALS].revents != 0)
            take_signals(shim);
        flush_due_lines(shim);
        kill_when_due(shim);
    }
}

static void end(struct shim *shim) {
    static const char *const names[] = {
        [SIGHUP] = "HUP",   [SIGINT] = "INT",   [SIGQUIT] = "QUIT", [SIGILL] = "ILL",   [SIGTRAP] = "TRAP",
        [SIGABRT] = "ABRT", [SIGBUS] = "BUS",   [SIGFPE] = "FPE",   [SIGKILL] = "KILL", [SIGUSR1] = "USR1",
        [SIGSEGV] = "SEGV", [SIGUSR2] = "USR2", [SIGPIPE] = "PIPE", [SIGALRM] = "ALRM", [SIGTERM] = "TERM",
        [SIGXCPU] = "XCPU", [SIGXFSZ] = "XFSZ", [SIGSYS] = "SYS",
    };
    int wait_status = shim->end.wait_status;
    drain_output(shim);
    lines_flush(&shim->output, true);
    lines_flush(&shim->errors, true);
    if (shim->end.killed != shim->kill_recorded)
        write_exit(shim);
    if (!WIFSIGNALED(wait_status))
        note(shim, NULL, "Exited with status %d", WEXITSTATUS(wait_status));
    else if ((size_t)WTERMSIG(wait_status) < sizeof names / sizeof *names && names[WTERMSIG(wait_status)] != NULL)
        note(shim, NULL, "Exited with signal SIG%s", names[WTERMSIG(wait_status)]);
    else
        note(shim, NULL, "Exited with signal %d", WTERMSIG(wait_status));
    log_flush(&shim->log, END_FLUSH_MS);
}

/* ---- start ------------------------------------------------------------------------------------------------------- */

/* What the daemon forgot to keep to itself reaches neither shim nor node. */
static void close_inherited(int kept) {
    if (kept > STDERR_FILENO + 1)
        syscall(SYS_close_range, (unsigned)STDERR_FILENO + 1, (unsigned)kept - 1, 0);
    syscall(SYS_close_range, (unsigned)kept + 1, ~0U, 0);
}

static int catch_signals(void) {
    static const int ignored[] = {SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGALRM, SIGUSR1, SIGUSR2, SIGTSTP, SIGXFSZ};
    sigset_t taken;
    for (size_t index = 0; index < sizeof ignored / sizeof *ignored; index++)
        signal(ignored[index], SIG_IGN);
    signal(SIGCHLD, SIG_DFL); /* ignored ones would be inherited, and the kernel would reap behind our back */
    sigemptyset(&taken);
    sigaddset(&taken, SIGTERM);
    sigaddset(&taken, SIGCHLD);
    if (sigprocmask(SIG_SETMASK, &taken, NULL) != 0)
        return -errno;
    int descriptor = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
    return descriptor < 0 ? -errno : descriptor;
}

/* Becomes the only shim of the directory and starts the child. Returns 0, or -errno with `*what` failed. */
static int start(struct shim *shim, const struct options *options, const char **what) {
    int signals = -1, error;
    *what = "session";
    if (setsid() < 0 && getpid() != getsid(0))
        return -errno;
    *what = "subreaper";
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
        return -errno;
    *what = "signals";
    if ((signals = catch_signals()) < 0)
        return signals;
    *what = options->directory;
    if ((shim->directory = open(options->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return -errno;
    if ((error = record_lock(shim->directory)) < 0 || (error = record_reserve_exit(shim->directory)) < 0)
        return error;
    if (options->working_directory != NULL && chdir(options->working_directory) != 0) {
        *what = options->working_directory;
        return -errno;
    }
    *what = "process";
    if ((error = child_fork(options->command, options->open_files, &shim->child)) < 0)
        return error;
    *what = options->log;
    if ((error = log_open(&shim->log, options->log, options->max_bytes, options->keep)) < 0)
        return error;
    *what = options->directory;
    error = record_pids(shim->directory, getpid(), tree_start_time(getpid()), shim->child.pid,
                        tree_start_time(shim->child.pid));
    shim->sources[SIGNALS] = (struct pollfd){.fd = signals, .events = POLLIN};
    shim->sources[EXEC_ERROR] = (struct pollfd){.fd = shim->child.exec_error, .events = POLLIN};
    shim->sources[OUTPUT] = (struct pollfd){.fd = shim->child.output, .events = POLLIN};
    shim->sources[ERRORS] = (struct pollfd){.fd = shim->child.errors, .events = POLLIN};
    return error;
}

int main(int argc, char **argv) {
    static struct shim shim;
    struct options options;
    const char *what;
    if (!options_parse(argc, argv, &options))
        return 2;
    shim.status_fd = options.status_fd;
    shim.output = (struct lines){.log = &shim.log, .label = "stdout"};
    shim.errors = (struct lines){.log = &shim.log, .label = "stderr"};
    shim.descendants_left = true;
    fcntl(shim.status_fd, F_SETFD, FD_CLOEXEC);
    close_inherited(shim.status_fd);
    int error = start(&shim, &options, &what);
    if (error < 0) /* the child, if there is one, waits for its release and ends with the shim */
        return fail(&shim, what, error);
    if (options.header != NULL)
        log_line(&shim.log, NULL, options.header, strcspn(options.header, "\n"));
    shim.end.started_ns = epoch_ns();
    take_signals(&shim); /* a start that was taken back meanwhile ends the child before it executes anything */
    child_release(&shim.child);
    if (chdir("/") != 0) /* the directory the shim was started in shall be removable */
        note(&shim, "error", "cannot change to /: %s", strerror(errno));
    live(&shim);
    end(&shim);
    return EXIT_SUCCESS;
}
