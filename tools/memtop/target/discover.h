/* Finds the processes that can be looked at, and their segments.
 *
 * Two sources are used.  The maps of every process that we may read show the living, wherever their
 * files lie.  The directories in which segments are kept show the dead, and the living whose maps
 * we may not read.  A segment is identified by device and inode, never by name alone: names repeat
 * between namespaces.
 *
 * Memory: malloc.  One thread. */
#ifndef MEMTOP_DISCOVER_H
#define MEMTOP_DISCOVER_H

#include "process.h"
#include "view/snapshot.h"

enum target_state {
    TARGET_LIVE,
    TARGET_DEAD,   /* the process is gone; the segment says what it was */
    TARGET_CLOSED, /* we may not read its segment */
    TARGET_BAD,    /* a file that has a segment's name and is none */
    TARGET_UNSEEN  /* its process lives, but we cannot see it: it is in another PID namespace, or
                      behind hidepid */
};

struct target {
    enum target_state state;
    bool stopped; /* TARGET_LIVE: by a signal or a debugger, when it was looked at */
    pid_t pid;    /* as we see it; of the dead and unseen as it saw itself; 0: not known */
    uint64_t start_ticks;
    uid_t uid;
    char path[600]; /* to open the segment by */
    char name[32];
    char cmdline[512]; /* of the living the kernel's, which may be a title; else the header's */
    dev_t dev;
    ino_t ino;
    int64_t ended_realtime_ns;   /* of the dead: when it last wrote; 0: not known */
    char successor[32];          /* of the dead: the program that its process runs now, by exec; "":
                                    the process is gone, or that is not known */
    bool claims_other;           /* of the dead: the header names another user than the file's */
    char error[VIEW_ERROR_SIZE]; /* TARGET_CLOSED, TARGET_BAD: why */
    struct md_header header;     /* zeros if it could not be read */
};

/* Whether a process has the segment mapped, by the lock that its file then has. */
enum target_hold { HOLD_UNKNOWN, HOLD_NOBODY, HOLD_SOMEBODY };
enum target_hold target_hold(const struct target *target);
/* For a segment that its process, which started at `start_ticks`, no longer has mapped: whether the
 * process goes on, by exec.  If so, fills `successor`. */
bool target_lives_on(struct target *target, uint64_t start_ticks);

/* "live", "stopped", "dead", …; seven letters at most. */
const char *target_state_name(const struct target *target);
/* Whether its header has been read. */
bool target_readable(const struct target *target);

struct targets {
    struct target *target; /* the living by pid, then the dead, last died first */
    size_t count;
    size_t passed_over;    /* files that were not looked at: over TARGETS_OF_USER_MAX of one user */
    uid_t passed_over_uid; /* the owner of the last of them */
    size_t closed;         /* directories of segments that we may not read */
    uid_t closed_uid;      /* the owner of the last of them */
    char **directories;    /* in which segments are kept, whether they are there or not */
    size_t directory_count;
};
/* Files of one user that are looked at in one directory.  The library leaves few of the dead there,
 * but who may write there can plant any number. */
#define TARGETS_OF_USER_MAX 1000

/* 0, or ENOMEM: some are missing.  Either way targets_fini frees the list. */
int targets_scan(struct targets *targets);
void targets_fini(struct targets *targets);
/* Looks at one file of such a directory, as targets_scan would.  False: it is no segment's, or
 * gone, or its process has another one now. */
bool target_of_file(const char *directory, const char *name, struct target *target);

/* What the list may lack, and what to do about it: a phrase for each reason; returns how many there
 * are.  That other users' programs are closed to us is none where the list is empty: whoever shows
 * that says so. */
#define TARGETS_LACKS 3
#define TARGETS_LACK_SIZE 256
size_t targets_lacks(const struct targets *targets, char lacks[TARGETS_LACKS][TARGETS_LACK_SIZE]);

/* Whether a plain file begins as segments do. */
bool target_is_segment(const char *path);
/* Finds the target that `text` means: a pid, a process's name or title, or the path of a segment
 * file.  0: found.  1: there is none; `message` says why and what to do, and target->pid is not 0
 * if one may still come.  2: there are several; `message` is one line, and `matches` has them.  The
 * caller frees `matches` by targets_fini, whatever the result. */
#define TARGET_MESSAGE_SIZE 512
int target_resolve(const char *text, struct target *target, char message[TARGET_MESSAGE_SIZE],
                   struct targets *matches);

/* target_why_not's reason where it is not known whether the process is instrumented. */
#define TARGET_MAP_CLOSED "its memory map cannot be read"
/* What to do about a process of this user that we may not look at: "run memtop as … or as root", or
 * what root lacks. */
void target_run_as(uid_t uid, char *advice, size_t size);

/* Why a process is not instrumented, in a few words, for `ps --all` and for refusals.  `advice`
 * (may be NULL) gets what to do about it, or "".  True: that may change by itself, so waiting
 * helps. */
bool target_why_not(pid_t pid, char *reason, size_t reason_size, char *advice, size_t advice_size);

#endif
