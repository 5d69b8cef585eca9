/* Why a process is not instrumented.  The answer is in its maps, its environment and its executable
 * (what the dynamic loader does with it). */
#include "discover.h"
#include "elfkind.h"

#include "base/ascii.h"
#include "base/compiler.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char preload_advice[] = "start it with memtop run -- PROGRAM, or with LD_PRELOAD";

/* Whether it started less than a second ago, and may have yet to exec or to load its libraries. */
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

void target_run_as(uid_t uid, char *advice, size_t size)
{
    char user[64];
    if (geteuid() == 0) {
        snprintf(advice, size, "root needs the capability SYS_PTRACE in its user namespace");
        return;
    }
    proc_user(uid, user, sizeof user);
    snprintf(advice, size, "run memtop as %s%s", user, uid == 0 ? "" : " or as root");
}

/* The value of a key in MEMDEBUG's text, up to the next comma; NULL: it is not there.  Of several
 * the last counts.  *length gets its length. */
static const char *setting(const char *text, const char *key, size_t *length)
{
    const char *found = NULL;
    size_t n = strlen(key);
    for (const char *item = text; *item; item += strcspn(item, ","), item += *item == ',')
        if (ascii_begins_same(item, key, n) && item[n] == '=') {
            found = item + n + 1;
            *length = strcspn(found, ",");
        }
    return found;
}

static bool same_name(const char *name, const char *listed, size_t length)
{
    enum { COMM = 15 }; /* where the kernel cuts a process's name */
    size_t n = strlen(name);
    return strncmp(name, listed, length) == 0 && (n == length || (n == COMM && length > n));
}

static bool names_it(const char *list, size_t size, pid_t pid, const char *comm)
{
    char link[64], exe[4096];
    snprintf(link, sizeof link, "/proc/%d/exe", (int)pid);
    ssize_t n = readlink(link, exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = '\0';
    const char *slash = strrchr(exe, '/');
    for (const char *end = list + size; list < end;) {
        size_t length = MIN(strcspn(list, ":"), (size_t)(end - list));
        if (same_name(comm, list, length) ||
            (slash && strlen(slash + 1) == length && strncmp(slash + 1, list, length) == 0))
            return true;
        list += length + 1;
    }
    return false;
}

/* What in its MEMDEBUG leaves it without a segment, to follow "libmemdebug is loaded, but"; NULL:
 * nothing does. */
static const char *why_excluded(pid_t pid, const char *comm, char *reason, size_t size)
{
    char text[2048];
    size_t length;
    if (!proc_environ(pid, "MEMDEBUG", text, sizeof text))
        return NULL;
    const char *value = setting(text, "only", &length);
    if (value && length > 0 && !names_it(value, length, pid, comm)) {
        snprintf(reason, size, "only=%.*s does not name it", (int)MIN(length, 60), value);
        return reason;
    }
    value = setting(text, "monitor", &length);
    if (value && (value[0] == '0' || ascii_begins_same(value, "of", 2)))
        return "no segment: monitor=off";
    return NULL;
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
        snprintf(reason, reason_size, TARGET_MAP_CLOSED);
        target_run_as(proc_uid(pid), advice, advice_size);
        return false;
    }
    if (maps.segment) { /* it is the parent's, else it would be a target */
        snprintf(reason, reason_size, "a forked copy, less than 64 KiB allocated in it so far");
        snprintf(advice, advice_size, "look again later");
        return true;
    }
    bool young = has_just_started(&stat);
    if (maps.library) {
        const char *excluded = why_excluded(pid, stat.comm, text, sizeof text);
        snprintf(reason, reason_size, "libmemdebug is loaded, but %s",
                 excluded ? excluded : "less than 512 KiB allocated so far");
        if (!excluded)
            snprintf(advice, advice_size, "look again later");
        return !excluded;
    }
    struct elf_kind kind;
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    int error = elf_kind_read(&kind, path, proc_uid(pid));
    if (error) {
        snprintf(reason, reason_size, "its executable cannot be read: %s",
                 error == ENOEXEC ? "not ELF" : strerror(error));
        if (error == EACCES || error == EPERM)
            target_run_as(proc_uid(pid), advice, advice_size);
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
    snprintf(reason, reason_size, "%s",
             proc_environ_is_whole(pid)
                 ? "started without LD_PRELOAD=libmemdebug.so.0"
                 : "started without LD_PRELOAD=libmemdebug.so.0, or the loader refused it: its "
                   "environment is not to be read");
    snprintf(advice, advice_size, "%s", preload_advice);
    return young;
}
