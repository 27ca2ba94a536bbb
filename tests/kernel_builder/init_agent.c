/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands for the zone's agent in the tests of init: does what the file /task says, once for each
 * word, and tells what init has set up.
 */
#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIDS_MAX = 100 };

static void show_file(const char *path)
{
    char text[512];
    FILE *file = fopen(path, "r");
    size_t got = file ? fread(text, 1, sizeof text - 1, file) : 0;
    text[got] = 0;
    for (char *at = text; *at; at++)
        if (*at == '\n')
            *at = ' ';
    printf("agent: %s: %s\n", path, text);
}

static void show_address(unsigned long what, const char *name)
{
    struct ifreq request = {.ifr_name = "lo"};
    int control = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in address;
    if (ioctl(control, what, &request))
        return;
    memcpy(&address, &request.ifr_addr, sizeof address);
    printf("agent: %s %s\n", name, inet_ntoa(address.sin_addr));
}

static void show_folder(const char *path)
{
    struct stat status;
    if (stat(path, &status) == 0)
        printf("agent: %s %o\n", path, status.st_mode & 07777);
}

static void show(void)
{
    char name[64];
    gethostname(name, sizeof name);
    printf("agent: hostname %s\n", name);
    show_file("/run/hosts");
    show_file("/run/resolv.conf");
    show_address(SIOCGIFADDR, "address");
    show_address(SIOCGIFNETMASK, "netmask");
    show_folder("/tmp");
    show_folder("/run");
    show_folder("/var/tmp");
}

/* A child that outlives this process for a moment: somebody must bury it. */
static void leave_orphan(void)
{
    if (fork() == 0) {
        usleep(200000);
        _exit(0);
    }
}

/* Until there is no process but the first and this one: the dead ones are buried, too. */
static void wait_alone(void)
{
    for (int others = 1; others; usleep(10000)) {
        others = 0;
        for (int pid = 2; pid < PIDS_MAX; pid++) {
            char path[32];
            snprintf(path, sizeof path, "/proc/%d/stat", pid);
            others += pid != getpid() && access(path, F_OK) == 0;
        }
    }
    printf("agent: alone\n");
}

int main(int count, char **words)
{
    char task[64] = "stay";
    FILE *file = fopen("/task", "r");
    if (file && fscanf(file, "%63s", task) != 1)
        strcpy(task, "stay");
    setvbuf(stdout, NULL, _IONBF, 0);
    printf("agent: started %s as %s %s %s\n", task, words[1], words[2], count > 3 ? words[3] : "");
    if (!strcmp(task, "show"))
        show();
    if (!strcmp(task, "orphan"))
        leave_orphan();
    if (!strcmp(task, "exit") || !strcmp(task, "orphan")) {
        file = fopen("/task", "w"); /* the next one stays */
        if (file)
            fputs(strcmp(task, "orphan") ? "stay" : "alone", file);
        return 3;
    }
    if (!strcmp(task, "alone"))
        wait_alone();
    printf("agent: stays\n");
    for (;;)
        pause();
}
