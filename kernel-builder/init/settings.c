/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "init.h"

enum { COMMAND_LINE_BYTES_MAX = 4096 };

static const char PREFIX[] = "vgpu.";

/* The kernel's command line; the kernel has cut it to its own limit. */
static const char *command_line(void)
{
    static char line[COMMAND_LINE_BYTES_MAX];
    if (!line[0])
        get("/proc/cmdline", line, sizeof line);
    return line;
}

/* The last word that begins with `start`: what is written later wins, as in the kernel. */
static const char *last_word(const char *start)
{
    const char *found = NULL;
    size_t length = strlen(start);
    for (const char *at = command_line(); *at; at += strcspn(at, " \n")) {
        at += strspn(at, " \n");
        if (!strncmp(at, start, length))
            found = at + length;
    }
    return found;
}

static bool copy_word(const char *word, char *value, size_t size)
{
    size_t length = strcspn(word, " \n");
    if (length >= size) {
        say("setting %.20s... is longer than %zu bytes", word, size - 1);
        return false;
    }
    memcpy(value, word, length);
    value[length] = 0;
    return true;
}

bool setting(const char *key, char *value, size_t size)
{
    char name[64];
    snprintf(name, sizeof name, "%s%s=", PREFIX, key);
    const char *word = last_word(name);
    if (word)
        return copy_word(word, value, size);
    snprintf(name, sizeof name, "vm-data/vgpu/%s", key);
    return store_read(name, value, size);
}

bool setting_flag(const char *key)
{
    char name[64];
    snprintf(name, sizeof name, "%s%s", PREFIX, key);
    const char *after = last_word(name);
    return after && strchr(" \n", *after); /* strchr finds the final zero as well */
}
