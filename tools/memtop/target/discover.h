/* Which processes can be looked at, and where their segments are.
 *
 * Two sources: the maps of every process that we may read (who is alive, wherever its file lies),
 * and the directories in which segments are kept (who is dead; whose maps are closed to us).  A
 * segment is told by device and inode, never by name alone: names repeat between namespaces. */
#ifndef MEMTOP_DISCOVER_H
#define MEMTOP_DISCOVER_H

#include "process.h"
#include "view/snapshot.h"

enum target_state {
    TARGET_LIVE,
    TARGET_DEAD,   /* the process is gone, the segment tells what it was */
    TARGET_CLOSED, /* there, but its segment is not ours to read */
    TARGET_BAD,    /* a file in the place of a segment that is none */
    TARGET_UNSEEN  /* its process lives, but not among those that we can see: in another PID
                      namespace, or behind hidepid */
};

struct target {
    enum target_state state;
    bool stopped; /* TARGET_LIVE: by a signal or a debugger, when it was looked at */
    pid_t pid;    /* as we see it; for the dead and unseen as it saw itself; 0: not known */
    uint64_t start_ticks;
    uid_t uid;
    char path[600]; /* to open the segment by */
    char name[32];
    char cmdline[512]; /* of the living what the kernel says, a title too; else the header's */
    dev_t dev;
    ino_t ino;
    int64_t ended_realtime_ns;   /* of the dead: when it last wrote, 0 not known */
    char successor[32];          /* of the dead: the program that its process runs now, by exec; ""
                                    it is gone, or that is not known */
    bool claims_other;           /* the header names another user than the file's owner */
    char error[VIEW_ERROR_SIZE]; /* TARGET_CLOSED, TARGET_BAD: why */
    struct md_header header;     /* of what can be read; else zeros */
};

/* Whether a process has the segment mapped: by the lock on its file, which lasts as long. */
enum target_hold { HOLD_UNKNOWN, HOLD_NOBODY, HOLD_SOMEBODY };
enum target_hold target_hold(const struct target *target);
/* Of one that its process, known by `start_ticks`, has been seen not to have mapped: fills
 * `successor`.  False: the process was about to end, or has. */
bool target_lives_on(struct target *target, uint64_t start_ticks);

/* "live", "stopped", "dead", ...; seven letters at most. */
const char *target_state_name(const struct target *target);
/* Whether its header has been read. */
bool target_readable(const struct target *target);

struct targets {
    struct target *target; /* the living by pid, then the dead, last died first */
    size_t count;
    size_t passed_over;    /* files that were not looked at: over TARGETS_OF_USER_MAX of one user */
    uid_t passed_over_uid; /* whose, of the last one */
    size_t closed;         /* directories with segments that are closed to us */
    uid_t closed_uid;      /* whose, of the last one */
};
/* Files of one user that are looked at in one directory.  The library keeps 16 of the dead; whoever
 * may write there could plant any number. */
#define TARGETS_OF_USER_MAX 1000

int targets_scan(struct targets *targets); /* 0 or ENOMEM */
void targets_fini(struct targets *targets);

/* Whether a plain file begins as segments do. */
bool target_is_segment(const char *path);
/* Finds the one that `text` means: a pid, a process's name or title, or the path of a segment file.
 * 0 found; 1 there is none, `message` says why and what to do, and target->pid is not 0 where one
 * may still come; 2 it is ambiguous, `message` is one line and `matches` has them. */
#define TARGET_MESSAGE_SIZE 512
int target_resolve(const char *text, struct target *target, char message[TARGET_MESSAGE_SIZE],
                   struct targets *matches);

/* target_why_not's reason where it is not known whether the process is. */
#define TARGET_MAP_CLOSED "its memory map cannot be read"
/* What to do about a process of that user's which is closed to us: "run memtop as ... or as root",
 * or what root lacks. */
void target_run_as(uid_t uid, char *advice, size_t size);

/* Why a process is not instrumented, in a few words; for `ps --all` and for refusals.  `advice`
 * (may be NULL) gets what to do about it, or "".  True: that may change by itself, so it can be
 * waited for. */
bool target_why_not(pid_t pid, char *reason, size_t reason_size, char *advice, size_t advice_size);

#endif
