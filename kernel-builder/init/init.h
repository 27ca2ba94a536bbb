/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first process of a pod domain: mounts, settings, network, grant limit; then it keeps the
 * zone's agent running, buries orphans, and powers the domain off when asked to.
 *
 * What goes wrong is said on the console, and the start goes on: a domain without a network is
 * still one that can be looked at.
 */
#ifndef VGPU_INIT_H
#define VGPU_INIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SETTING_BYTES_MAX = 256, /* a setting's value, with its final zero */
    CHILDREN_MAX = 2,        /* the agent, and the console's shell */
};

/* log.c: a line on the console; `complain` adds what errno says. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Write a short text to a file of /proc or /sys. */
bool put(const char *path, const char *text);
/* Read a short file; the length, or -1. `text` always ends with a zero. */
long get(const char *path, char *text, size_t size);

/* store.c: xenstore, read only. False when there is no such node, or no xenstore. */
bool store_read(const char *path, char *value, size_t size);
/* The names below a node, each ended by a zero, and an empty one at the end. */
bool store_list(const char *path, char *names, size_t size);

/* settings.c: `vgpu.KEY=VALUE` on the kernel's command line, else xenstore's vm-data/vgpu/KEY. */
bool setting(const char *key, char *value, size_t size);
/* Whether the command line has the word `vgpu.KEY`. */
bool setting_flag(const char *key);

/* mounts.c */
void mount_all(void);
void mount_shares(void);
void unmount_all(void);

/* network.c: the host's name, lo, and eth0 when there is an address for it. */
void set_hostname(void);
void set_network(void);

/* address.c: the kernel's own syntax, client:server:gateway:netmask:hostname:device:auto:dns:dns */
struct address {
    uint32_t client, gateway, netmask, dns[2]; /* network byte order; 0 is none */
    char hostname[64];
    char device[16];
};
bool parse_address(const char *text, struct address *address);

/* grants.c: how many pages the domain's programs may grant. */
void set_grant_limit(void);

/* children.c */
struct child {
    const char *name;
    char *const *command;
    bool console; /* gets the console as its terminal */
    int pid;      /* 0: not running */
    long started; /* seconds, when it last started */
    long due;     /* seconds, when it is to start */
    int pause;    /* seconds to wait after its next end */
};
long seconds_now(void);
void start_due(struct child *children, int count);
void note_end(struct child *child, int status);
/* Seconds until the next start; -1 when all are running. */
long seconds_to_next(const struct child *children, int count);

#endif
