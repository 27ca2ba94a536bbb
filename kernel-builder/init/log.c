/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "init.h"

enum { LINE_BYTES_MAX = 512 };

static void print(const char *format, va_list words, const char *why)
{
    char line[LINE_BYTES_MAX];
    int at = snprintf(line, sizeof line, "vgpu-init: ");
    int room = (int)sizeof line - at;
    int wrote = vsnprintf(line + at, (size_t)room, format, words);
    at += wrote < 0 ? 0 : wrote < room ? wrote : room - 1;
    room = (int)sizeof line - at;
    wrote = snprintf(line + at, (size_t)room, "%s%s\n", *why ? ": " : "", why);
    at += wrote < room ? wrote : room - 1;
    ssize_t ignored = write(STDERR_FILENO, line, (size_t)at); /* there is no other place to say it */
    (void)ignored;
}

void say(const char *format, ...)
{
    va_list words;
    va_start(words, format);
    print(format, words, "");
    va_end(words);
}

void complain(const char *format, ...)
{
    const char *why = strerror(errno);
    va_list words;
    va_start(words, format);
    print(format, words, why);
    va_end(words);
}

bool put(const char *path, const char *text)
{
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    bool done = write(file, text, strlen(text)) == (ssize_t)strlen(text);
    int why = errno;
    close(file);
    errno = why;
    return done;
}

long get(const char *path, char *text, size_t size)
{
    text[0] = 0;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return -1;
    ssize_t got = read(file, text, size - 1);
    int why = errno;
    close(file);
    errno = why;
    text[got < 0 ? 0 : got] = 0;
    return got;
}
