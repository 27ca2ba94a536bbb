/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

enum { GRACE_S = 5 };

/* SIGTERM and SIGUSR2 power off, SIGINT starts again. The programs `poweroff` and `reboot` are
 * this one under other names: the kernel runs them when the toolstack asks (control/shutdown). */
static int ask_first_process(const char *name)
{
    int signal = !strcmp(name, "reboot") ? SIGINT : SIGUSR2;
    if (!kill(1, signal))
        return 0;
    complain("%s", name);
    return 1;
}

static void watched_signals(sigset_t *set)
{
    const int signals[] = {SIGCHLD, SIGTERM, SIGUSR2, SIGINT};
    sigemptyset(set);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaddset(set, signals[i]);
    sigprocmask(SIG_BLOCK, set, NULL);
}

static void bury(struct child *children, int count)
{
    int pid, status;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (int i = 0; i < count; i++)
            if (children[i].pid == pid)
                note_end(&children[i], status);
}

static void end_all(void)
{
    long until = seconds_now() + GRACE_S;
    kill(-1, SIGTERM);
    while (seconds_now() < until && (waitpid(-1, NULL, WNOHANG) >= 0 || errno != ECHILD))
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    kill(-1, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0)
        ;
}

static void leave(int signal)
{
    say(signal == SIGINT ? "starting again" : "powering off");
    end_all();
    unmount_all();
    reboot(signal == SIGINT ? RB_AUTOBOOT : RB_POWER_OFF);
    complain("reboot");
}

static void serve(struct child *children, int count)
{
    sigset_t set;
    watched_signals(&set);
    for (;;) {
        start_due(children, count);
        long next = seconds_to_next(children, count);
        struct timespec wait = {.tv_sec = next};
        int signal = next < 0 ? sigwaitinfo(&set, NULL) : sigtimedwait(&set, NULL, &wait);
        if (signal == SIGCHLD)
            bury(children, count);
        else if (signal > 0)
            leave(signal);
    }
}

static void set_up(void)
{
    umask(022);
    if (chdir("/"))
        complain("/");
    setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
    setenv("HOME", "/root", 1);
    setenv("LANG", "C.UTF-8", 1);
    mount_all();
    set_hostname();
    set_network();
    set_grant_limit();
    mount_shares();
}

int main(int count, char **words)
{
    static char *const agent[] = {"/usr/bin/python3", "-I", "-m", "idm.xen.agent", NULL};
    static char *const shell[] = {"/bin/sh", "-l", NULL};
    struct child children[CHILDREN_MAX] = {
        {.name = "agent", .command = agent},
        {.name = "shell", .command = shell, .console = true},
    };
    const char *slash = count > 0 ? strrchr(words[0], '/') : NULL;
    if (getpid() != 1)
        return ask_first_process(slash ? slash + 1 : count > 0 ? words[0] : "");
    set_up();
    char uptime[32];
    get("/proc/uptime", uptime, sizeof uptime);
    uptime[strcspn(uptime, " \n")] = 0;
    say("ready after %s s", uptime);
    serve(children, setting_flag("shell") ? 2 : 1);
}
