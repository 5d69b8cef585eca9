/* What TARGET on the command line means, and what to say when it means nothing. */
#include "discover.h"

#include "view/plain_text.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_pid(const char *text, pid_t *pid)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end != '\0' || errno || value <= 0 ||
        value > INT32_MAX)
        return false;
    *pid = (pid_t)value;
    return true;
}

/* Says why a process that is there has no segment for us, or none yet. */
static int refuse_process(pid_t pid, const char *name, struct target *target, char *message)
{
    char user[64], me[64], reason[160], advice[200];
    uid_t uid = proc_uid(pid);
    proc_user(uid, user, sizeof user);
    proc_user(geteuid(), me, sizeof me);
    if (geteuid() != 0 && uid != geteuid()) {
        target_run_as(uid, advice, sizeof advice);
        snprintf(message, TARGET_MESSAGE_SIZE, "%d %s belongs to %s, you are %s: %s", (int)pid,
                 name, user, me, advice);
        return 1;
    }
    if (target_why_not(pid, reason, sizeof reason, advice, sizeof advice))
        target->pid = pid;
    bool known = strcmp(reason, TARGET_MAP_CLOSED) != 0;
    snprintf(message, TARGET_MESSAGE_SIZE, "%d %s %s: %s%s%s", (int)pid, name,
             known ? "is not on memdebug" : "may be on memdebug or not", reason,
             advice[0] ? "; " : "", advice);
    return 1;
}

static int accept_target(const struct target *found, struct target *target, char *message)
{
    if (found->state == TARGET_CLOSED && geteuid() != 0 && found->uid != geteuid()) {
        char user[64], advice[100];
        proc_user(found->uid, user, sizeof user);
        target_run_as(found->uid, advice, sizeof advice);
        snprintf(message, TARGET_MESSAGE_SIZE, "%d %s belongs to %s: %s", (int)found->pid,
                 found->name, user, advice);
        return 1;
    }
    if (found->state == TARGET_CLOSED || found->state == TARGET_BAD) {
        snprintf(message, TARGET_MESSAGE_SIZE, "%s", found->error);
        return 1;
    }
    *target = *found;
    return 0;
}

static int resolve_path(const char *text, struct target *target, char *message)
{
    struct stat st;
    if (stat(text, &st) != 0) {
        snprintf(message, TARGET_MESSAGE_SIZE, "%.300s: %s", text, strerror(errno));
        return 1;
    }
    /* If it is a known process's, the scan knows its state. */
    struct targets targets;
    targets_scan(&targets);
    int result = -1;
    for (size_t i = 0; i < targets.count && result < 0; i++)
        if (targets.target[i].ino == st.st_ino && targets.target[i].dev == st.st_dev)
            result = accept_target(&targets.target[i], target, message);
    targets_fini(&targets);
    if (result >= 0)
        return result;
    /* Else it is a copy, or in an unusual directory, and taken for a dead process's. */
    struct segment_file file;
    struct snapshot snapshot;
    char error[VIEW_ERROR_SIZE];
    if (segment_file_open(&file, text, false, error)) {
        snprintf(message, TARGET_MESSAGE_SIZE, "%s", error);
        return 1;
    }
    result = snapshot_read(&snapshot, &file, 0, error);
    if (result) {
        snprintf(message, TARGET_MESSAGE_SIZE, "%.200s: %s", text, error);
    } else {
        *target = (struct target){.state = TARGET_DEAD,
                                  .pid = (pid_t)snapshot.header.pid,
                                  .start_ticks = snapshot.header.start_ticks,
                                  .uid = snapshot.header.uid,
                                  .dev = file.dev,
                                  .ino = file.ino,
                                  .header = snapshot.header};
        snprintf(target->path, sizeof target->path, "%s", text);
        plain_text(target->name, sizeof target->name, snapshot.header.name, SIZE_MAX);
        plain_text(target->cmdline, sizeof target->cmdline, snapshot.header.cmdline, SIZE_MAX);
        snapshot_fini(&snapshot);
    }
    segment_file_close(&file);
    return result ? 1 : 0;
}

static int resolve_pid(pid_t pid, const struct targets *targets, struct target *target,
                       char *message)
{
    struct proc_stat stat;
    bool is_there = proc_stat(pid, &stat) == 0;
    /* The living come first, then the one that died last.  If there is such a process it is meant,
     * and not a dead one that had the same pid. */
    for (size_t i = 0; i < targets->count; i++) {
        const struct target *found = &targets->target[i];
        if (found->pid == pid &&
            (found->state != TARGET_DEAD || !is_there || found->start_ticks == stat.start_ticks))
            return accept_target(found, target, message);
    }
    if (is_there)
        return refuse_process(pid, stat.comm, target, message);
    if (proc_is_hidden(pid))
        snprintf(message, TARGET_MESSAGE_SIZE,
                 "/proc hides process %d, which is another user's (hidepid): run memtop as root",
                 (int)pid);
    else
        snprintf(message, TARGET_MESSAGE_SIZE,
                 "no process %d, and no segment of a dead one: try memtop ps", (int)pid);
    return 1;
}

/* Whether the first word of a command line is this name, or a path that ends in it. */
static bool runs(const char *cmdline, const char *name)
{
    size_t length = strcspn(cmdline, " "), n = strlen(name);
    return n <= length && memcmp(cmdline + length - n, name, n) == 0 &&
           (n == length || cmdline[length - n - 1] == '/');
}

/* Whether the target has this name, this whole title, or was started as this. */
static bool same_name(const struct target *target, const char *text)
{
    return strcmp(target->name, text) == 0 || strcmp(target->cmdline, text) == 0 ||
           runs(target->cmdline, text) || runs(target->header.cmdline, text);
}

static int resolve_name(const char *text, const struct targets *targets, struct target *target,
                        char *message, struct targets *matches)
{
    /* The living first: each restart leaves a dead one of the same name. */
    for (int dead = 0; dead < 2; dead++) {
        matches->target = calloc(targets->count + 1, sizeof matches->target[0]);
        matches->count = 0;
        for (size_t i = 0; i < targets->count && matches->target; i++) {
            const struct target *candidate = &targets->target[i];
            if ((candidate->state == TARGET_DEAD) == dead && candidate->state != TARGET_BAD &&
                same_name(candidate, text))
                matches->target[matches->count++] = *candidate;
        }
        if (matches->count == 1)
            return accept_target(&matches->target[0], target, message);
        if (matches->count > 1) {
            snprintf(message, TARGET_MESSAGE_SIZE,
                     "%zu %sprocesses are called %.100s: give the pid", matches->count,
                     dead ? "dead " : "", text);
            return 2;
        }
        targets_fini(matches);
    }
    pid_t *pids;
    size_t count = proc_pids(&pids);
    int result = -1;
    for (size_t i = 0; i < count && result < 0; i++) {
        struct proc_stat stat;
        if (pids[i] != getpid() && proc_stat(pids[i], &stat) == 0 && strcmp(stat.comm, text) == 0)
            result = refuse_process(pids[i], stat.comm, target, message);
    }
    free(pids);
    if (result < 0) {
        snprintf(
            message, TARGET_MESSAGE_SIZE,
            "no process is called %.100s: memtop ps lists those on memdebug, ps --all the others",
            text);
        result = 1;
    }
    return result;
}

bool target_is_segment(const char *path)
{
    char magic[sizeof MD_SEGMENT_MAGIC - 1];
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    bool is = fd >= 0 && read(fd, magic, sizeof magic) == sizeof magic &&
              memcmp(magic, MD_SEGMENT_MAGIC, sizeof magic) == 0;
    if (fd >= 0)
        close(fd);
    return is;
}

int target_resolve(const char *text, struct target *target, char message[TARGET_MESSAGE_SIZE],
                   struct targets *matches)
{
    pid_t pid;
    *target = (struct target){0};
    *matches = (struct targets){0};
    message[0] = '\0';
    if (text[0] == '\0') {
        snprintf(message, TARGET_MESSAGE_SIZE,
                 "an empty TARGET: give a pid, a name or a segment file");
        return 1;
    }
    size_t length = strlen(text), suffix = sizeof MD_SEGMENT_SUFFIX - 1;
    bool is_file = length > suffix && strcmp(text + length - suffix, MD_SEGMENT_SUFFIX) == 0;
    if (strchr(text, '/') || is_file)
        return resolve_path(text, target, message);
    struct targets targets;
    if (targets_scan(&targets) != 0 && targets.count == 0) {
        snprintf(message, TARGET_MESSAGE_SIZE, "out of memory");
        return 1;
    }
    int result = is_pid(text, &pid) ? resolve_pid(pid, &targets, target, message)
                                    : resolve_name(text, &targets, target, message, matches);
    targets_fini(&targets);
    if (result == 1 && target_is_segment(text)) /* a file without a / */
        return resolve_path(text, target, message);
    return result;
}
