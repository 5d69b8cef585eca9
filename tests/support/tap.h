/* TAP for C test programs: each check prints one line, meson counts the lines.
 *
 * It formats into a buffer on the stack and calls write(2): no stdio, no heap, no fork, no longjmp,
 * so that it can stand inside a program whose allocator is what is being tested. */
#ifndef MEMDEBUG_TESTS_TAP_H
#define MEMDEBUG_TESTS_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h> /* vsnprintf: glibc's needs no heap for what is printed here */
#include <stdlib.h>
#include <unistd.h>

static int tap_count, tap_failures;

__attribute__((format(printf, 1, 2), unused)) static void tap_print(const char *format, ...)
{
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    if (length > (int)sizeof line - 2)
        length = (int)sizeof line - 2;
    line[length++] = '\n';
    for (int done = 0; done < length;) {
        ssize_t n = write(STDOUT_FILENO, line + done, (size_t)(length - done));
        if (n <= 0)
            return;
        done += (int)n;
    }
}

/* One test point.  Returns `passed`, so that a caller can leave out what depends on it. */
#define ok(passed, ...) tap_ok((passed), __FILE__, __LINE__, __VA_ARGS__)
__attribute__((format(printf, 4, 5), unused)) static bool tap_ok(bool passed, const char *file,
                                                                 int line, const char *format, ...)
{
    char name[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    for (char *c = name; *c; c++) /* what is quoted from hostile input stays on the line */
        if ((unsigned char)*c < ' ')
            *c = '?';
    tap_count++;
    tap_failures += !passed;
    tap_print("%s %d - %s", passed ? "ok" : "not ok", tap_count, name);
    if (!passed)
        tap_print("# failed at %s:%d", file, line);
    return passed;
}

/* Two integers that must be equal; both are shown if they are not. */
#define is(got, expected, ...)                                                                     \
    do {                                                                                           \
        long long tap_got = (long long)(got), tap_expected = (long long)(expected);                \
        if (!ok(tap_got == tap_expected, __VA_ARGS__))                                             \
            tap_print("# got %lld, expected %lld", tap_got, tap_expected);                         \
    } while (0)

__attribute__((unused)) static void tap_skip(const char *name, const char *reason)
{
    tap_print("ok %d - %s # SKIP %s", ++tap_count, name, reason);
}

/* True under an emulator of system calls (qemu-user: tests/cross.sh says so): the point is skipped,
 * as it does not have what it needs. */
__attribute__((unused)) static bool tap_emulated(const char *name, const char *lacks)
{
    if (!getenv("MEMDEBUG_EMULATED"))
        return false;
    tap_print("ok %d - %s # SKIP qemu-user lacks %s", ++tap_count, name, lacks);
    return true;
}

/* The plan, and the exit status: return it from main. */
__attribute__((unused)) static int tap_done(void)
{
    tap_print("1..%d", tap_count);
    return tap_failures ? 1 : 0;
}

#endif
