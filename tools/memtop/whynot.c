/* Why a process is not instrumented.  The answer lies in its executable (what the dynamic loader
 * will do with it) and in its maps; libelf reads the first. */
#include "discover.h"
#include "elfkind.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char preload_advice[] = "start it with memtop run -- PROGRAM, or with LD_PRELOAD";

/* It may not have come to its exec yet, or to loading its libraries. */
static bool has_just_started(const struct proc_stat *stat)
{
    struct timespec now;
    long ticks = sysconf(_SC_CLK_TCK);
    if (ticks <= 0 || clock_gettime(CLOCK_BOOTTIME, &now) != 0)
        return false;
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9 -
               (double)stat->start_ticks / (double)ticks <
           1;
}

/* MEMDEBUG says that there is to be no segment. */
static bool monitor_is_off(pid_t pid)
{
    char text[2048];
    const char *value =
        proc_environ(pid, "MEMDEBUG", text, sizeof text) ? strstr(text, "monitor=") : NULL;
    return value && (value[8] == '0' || strncmp(value + 8, "of", 2) == 0);
}

bool target_why_not(pid_t pid, char *reason, size_t reason_size, char *advice, size_t advice_size)
{
    char none[1], text[2048], path[64];
    if (!advice) {
        advice = none;
        advice_size = sizeof none;
    }
    advice[0] = '\0';
    struct proc_stat stat;
    if (proc_stat(pid, &stat) != 0) {
        snprintf(reason, reason_size, "it has ended");
        return false;
    }
    if (proc_is_kernel(&stat)) {
        snprintf(reason, reason_size, "a kernel thread");
        return false;
    }
    if (proc_ended(&stat)) {
        snprintf(reason, reason_size, "it has ended and waits for its parent");
        return false;
    }
    struct proc_maps maps;
    proc_maps(pid, &maps);
    if (!maps.readable) {
        snprintf(reason, reason_size, "not readable for you");
        snprintf(advice, advice_size, "run memtop as its user or as root");
        return false;
    }
    if (maps.segment) { /* its parent's: discover.c */
        snprintf(reason, reason_size, "a forked copy, less than 64 KiB allocated in it so far");
        snprintf(advice, advice_size, "look again later");
        return true;
    }
    bool young = has_just_started(&stat);
    if (maps.library) {
        bool off = monitor_is_off(pid);
        snprintf(reason, reason_size, "%s",
                 off ? "libmemdebug is loaded, but no segment: monitor=off?"
                     : "libmemdebug is loaded, but less than 512 KiB allocated so far");
        if (!off)
            snprintf(advice, advice_size, "look again later");
        return !off;
    }
    struct elf_kind kind;
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    int error = elf_kind_read(&kind, path, proc_uid(pid));
    if (error) {
        snprintf(reason, reason_size, "its executable cannot be read: %s",
                 error == ENOEXEC ? "not ELF" : strerror(error));
        return young;
    }
    if (elf_kind_obstacle(&kind, reason, reason_size))
        return young;
    if (proc_environ(pid, "LD_PRELOAD", text, sizeof text) && strstr(text, "libmemdebug")) {
        snprintf(reason, reason_size,
                 "LD_PRELOAD names libmemdebug, but the loader refused it (noexec mount, or not "
                 "found?)");
        snprintf(advice, advice_size, "its stderr has the loader's line");
        return young;
    }
    snprintf(reason, reason_size, "started without LD_PRELOAD=libmemdebug.so");
    snprintf(advice, advice_size, "%s", preload_advice);
    return young;
}
