/* SPDX-License-Identifier: Apache-2.0
 *
 * printf and assert of device code. Format, arguments and strings are read from kernel memory on the fiber, where a
 * wild pointer is only a fault of the kernel; formatting and printing happen on the CPU thread's own stack.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "thread.h"

void sg_op_vprintf(struct sg_thread *thread, const uint64_t *arguments, uint32_t *result);
void sg_op_assertfail(struct sg_thread *thread, const uint64_t *arguments, void *result) __attribute__((noreturn));

enum { FORMAT_BYTES = 2048, STRING_BYTES = 4096, SPEC_BYTES = 64, MAX_WIDTH = 512 };

struct message {
    const struct sg_thread *thread;
    char format[FORMAT_BYTES];
    char strings[STRING_BYTES];
    size_t string_bytes;
    uint64_t values[SG_PRINT_ARGUMENTS];
    unsigned count;
};

/* Each CPU thread builds one message at a time: no fiber is switched in between. Kept on the heap, because
 * a library that is opened late has little room for thread-local data. */
static _Thread_local struct message *own_message;
static struct message spare_message; /* when memory is exhausted: texts may mix, nothing worse */

static struct message *my_message(void)
{
    if (!own_message)
        own_message = calloc(1, sizeof *own_message);
    return own_message ? own_message : &spare_message;
}

static uint8_t read_byte(struct sg_thread *thread, uint64_t address)
{
    sg_op_access(thread, address, 1, SG_ACCESS_GENERIC);
    return *(const volatile uint8_t *)(uintptr_t)address;
}

static size_t read_string(struct sg_thread *thread, uint64_t address, char *to, size_t room)
{
    size_t length = 0;

    while (length + 1 < room) {
        char c = (char)read_byte(thread, address + length);
        if (!c)
            break;
        to[length++] = c;
    }
    to[length] = 0;
    return length;
}

static uint64_t read_argument(struct sg_thread *thread, uint64_t *at, unsigned bytes)
{
    uint64_t value = 0;

    *at = (*at + bytes - 1) & ~(uint64_t)(bytes - 1);
    sg_op_access(thread, *at, bytes, SG_ACCESS_GENERIC);
    memcpy(&value, (const void *)(uintptr_t)*at, bytes);
    *at += bytes;
    return value;
}

/* One conversion of a format: its length, its letter, and how wide its argument is. */
struct spec {
    size_t length;
    char letter;
    unsigned bytes;
    unsigned stars;
};

static struct spec parse_spec(const char *text)
{
    struct spec spec = {.length = 1, .bytes = 4};
    char c;

    while ((c = text[spec.length]) && strchr("-+ #0123456789.*", c)) {
        spec.stars += c == '*';
        spec.length++;
    }
    while ((c = text[spec.length]) && strchr("hljztL", c)) {
        if (strchr("ljztL", c))
            spec.bytes = 8;
        spec.length++;
    }
    spec.letter = c;
    if (c)
        spec.length++;
    if (c && strchr("eEfFgGaAsp", c))
        spec.bytes = 8;
    return spec;
}

static void collect(struct sg_thread *thread, uint64_t at)
{
    for (const char *p = my_message()->format; *p;) {
        if (*p != '%') {
            p++;
            continue;
        }
        struct spec spec = parse_spec(p);
        p += spec.length;
        if (!spec.letter || spec.letter == '%')
            continue;
        for (unsigned i = 0; i < spec.stars && my_message()->count < SG_PRINT_ARGUMENTS; i++)
            my_message()->values[my_message()->count++] = read_argument(thread, &at, 4);
        if (my_message()->count == SG_PRINT_ARGUMENTS)
            return;
        uint64_t value = read_argument(thread, &at, spec.bytes);
        if (spec.letter == 's') {
            char *to = my_message()->strings + my_message()->string_bytes;
            size_t room = STRING_BYTES - my_message()->string_bytes;
            my_message()->string_bytes += room > 1 ? read_string(thread, value, to, room) + 1 : 0;
            value = (uint64_t)(uintptr_t)(room > 1 ? to : "");
        }
        my_message()->values[my_message()->count++] = value;
    }
}

/* Copy a conversion with its stars and widths made plain and bounded. */
static void plain_spec(const char *text, const struct spec *spec, char out[SPEC_BYTES], const uint64_t **values)
{
    size_t used = 0;

    for (size_t i = 0; i < spec->length && used < SPEC_BYTES - 16; i++) {
        if (text[i] == '*') {
            int width = (int)*(*values)++;
            width = width > MAX_WIDTH ? MAX_WIDTH : width < -MAX_WIDTH ? -MAX_WIDTH : width;
            used += (size_t)snprintf(out + used, SPEC_BYTES - used, "%d", width);
        } else if (text[i] >= '0' && text[i] <= '9') {
            unsigned width = 0;
            int zero_flag = text[i] == '0' && !(i && text[i - 1] == '.');
            for (; i < spec->length && text[i] >= '0' && text[i] <= '9'; i++)
                width = width > MAX_WIDTH ? width : width * 10 + (unsigned)(text[i] - '0');
            i--;
            width = width > MAX_WIDTH ? MAX_WIDTH : width;
            used += (size_t)snprintf(out + used, SPEC_BYTES - used, zero_flag ? "0%u" : "%u", width);
        } else {
            out[used++] = text[i];
        }
    }
    out[used] = 0;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static int format_one(char *to, size_t room, const char *spec, const struct spec *kind, uint64_t value)
{
    double number;

    if (strchr("eEfFgGaA", kind->letter)) {
        memcpy(&number, &value, sizeof number);
        return snprintf(to, room, spec, number);
    }
    if (kind->letter == 's')
        return snprintf(to, room, spec, (const char *)(uintptr_t)value);
    if (kind->letter == 'p')
        return snprintf(to, room, spec, (void *)(uintptr_t)value);
    if (strchr("diouxXc", kind->letter))
        return kind->bytes == 8 ? snprintf(to, room, spec, (long long)value) : snprintf(to, room, spec, (int)value);
    return snprintf(to, room, "%%%c", kind->letter);
}
#pragma GCC diagnostic pop

static void emit(const char *text, size_t bytes)
{
    if (sg_engine_memory.print)
        sg_engine_memory.print(text, bytes);
    else
        fwrite(text, 1, bytes, stdout), fflush(stdout);
}

static void print_message(void *argument)
{
    char *out = sg_this_slot->print;
    size_t used = 0;
    const uint64_t *values = my_message()->values;
    const uint64_t *end = my_message()->values + my_message()->count;

    (void)argument;
    for (const char *p = my_message()->format; *p && used < SG_PRINT_BYTES - 1;) {
        struct spec kind = {.length = 1};
        if (*p == '%')
            kind = parse_spec(p);
        if (!kind.letter || kind.letter == '%') {
            out[used++] = *p;
            p += kind.letter ? kind.length : 1;
            continue;
        }
        char spec[SPEC_BYTES];
        if (values + kind.stars >= end)
            break;
        plain_spec(p, &kind, spec, &values);
        int wrote = format_one(out + used, SG_PRINT_BYTES - used, spec, &kind, *values++);
        if (wrote > 0)
            used += (size_t)wrote < SG_PRINT_BYTES - used ? (size_t)wrote : SG_PRINT_BYTES - used - 1;
        p += kind.length;
    }
    emit(out, used);
}

void sg_op_vprintf(struct sg_thread *thread, const uint64_t *arguments, uint32_t *result)
{
    my_message()->count = 0;
    my_message()->string_bytes = 0;
    read_string(thread, arguments[0], my_message()->format, FORMAT_BYTES);
    if (arguments[1])
        collect(thread, arguments[1]);
    sg_call_on_main(thread->fiber->slot, print_message, NULL);
    *result = my_message()->count;
}

static void print_assertion(void *argument)
{
    const uint64_t *values = my_message()->values;
    const struct sg_thread *t = my_message()->thread;
    char *out = sg_this_slot->print;

    (void)argument;
    int wrote = snprintf(out, SG_PRINT_BYTES, "%s:%u: %s: block: [%u,%u,%u], thread: [%u,%u,%u] Assertion `%s` failed.\n",
                         (const char *)(uintptr_t)values[1], (unsigned)values[2], (const char *)(uintptr_t)values[3],
                         t->ctaid[0], t->ctaid[1], t->ctaid[2], t->tid[0], t->tid[1], t->tid[2],
                         (const char *)(uintptr_t)values[0]);
    if (wrote > 0)
        emit(out, (size_t)wrote < SG_PRINT_BYTES ? (size_t)wrote : SG_PRINT_BYTES - 1);
}

void sg_op_assertfail(struct sg_thread *thread, const uint64_t *arguments, void *result)
{
    (void)result;
    my_message()->thread = thread;
    my_message()->string_bytes = 0;
    for (int i = 0; i < 4; i++) {
        if (i == 2) {
            my_message()->values[i] = (uint32_t)arguments[i];
            continue;
        }
        char *to = my_message()->strings + my_message()->string_bytes;
        my_message()->string_bytes += read_string(thread, arguments[i], to, STRING_BYTES / 4) + 1;
        my_message()->values[i] = (uint64_t)(uintptr_t)to;
    }
    sg_call_on_main(thread->fiber->slot, print_assertion, NULL);
    sg_fault_raise(thread, SG_FAULT_ASSERT, 0, "assertion failed");
}
