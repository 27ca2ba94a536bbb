/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

enum { PAUSE_MIN_S = 1, PAUSE_MAX_S = 30, STEADY_S = 60 };

long seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long)now.tv_sec;
}

static void take_console(void)
{
    setsid();
    int console = open("/dev/console", O_RDWR);
    if (console < 0)
        return;
    ioctl(console, TIOCSCTTY, 1);
    for (int fd = 0; fd < 3; fd++)
        dup2(console, fd);
}

static void take_nothing(void)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    setsid();
    if (null >= 0)
        dup2(null, STDIN_FILENO);
}

static void start(struct child *child)
{
    child->started = seconds_now();
    child->pid = fork();
    if (child->pid < 0) {
        complain("%s", child->name);
        child->pid = 0;
        child->due = child->started + PAUSE_MAX_S;
        return;
    }
    if (child->pid)
        return;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    child->console ? take_console() : take_nothing();
    execv(child->command[0], child->command);
    complain("%s", child->command[0]);
    _exit(127);
}

void start_due(struct child *children, int count)
{
    for (int i = 0; i < count; i++)
        if (!children[i].pid && children[i].due <= seconds_now())
            start(&children[i]);
}

/* One that keeps failing is tried less often, and one that had been steady at once. */
void note_end(struct child *child, int status)
{
    long now = seconds_now();
    if (now - child->started >= STEADY_S || child->pause < PAUSE_MIN_S)
        child->pause = PAUSE_MIN_S;
    child->pid = 0;
    child->due = now + child->pause;
    if (WIFSIGNALED(status))
        say("%s was killed by signal %d; again in %d s", child->name, WTERMSIG(status), child->pause);
    else
        say("%s ended with %d; again in %d s", child->name, WEXITSTATUS(status), child->pause);
    child->pause = child->pause * 2 < PAUSE_MAX_S ? child->pause * 2 : PAUSE_MAX_S;
}

long seconds_to_next(const struct child *children, int count)
{
    long next = -1, now = seconds_now();
    for (int i = 0; i < count; i++) {
        if (children[i].pid)
            continue;
        long left = children[i].due > now ? children[i].due - now : 0;
        next = next < 0 || left < next ? left : next;
    }
    return next;
}
