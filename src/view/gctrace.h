/* The gctrace line: what a cycle has found, in one line for people, and how it is read back from a
 * log.  The library writes these lines inside the watched program, so this code uses no heap, no
 * stdio, no locale and no errno, and keeps no state: it is async-signal-safe, for any thread.
 *
 * Numbers are written as Go's runtime writes them, all truncated: times of a cycle in ms, whole
 * from 10 ms on, below that with two significant digits but at most three decimals; bytes in MiB,
 * although the line says MB; the start in seconds with three decimals.  What is read back from a
 * line is as coarse as the line. */
#ifndef VIEW_GCTRACE_H
#define VIEW_GCTRACE_H

#include <memdebug/segment.h>
#include <stdbool.h>
#include <stddef.h>

#define GCTRACE_LINE_SIZE 768  /* bytes that any line fits in, with its newline and a NUL */
#define GCTRACE_JSON_SIZE 2048 /* bytes that any record fits in, likewise */
#define GCTRACE_NAME_SIZE 32   /* as md_header.name */

/* Writes the line of `cycle` with its newline and a NUL; a "gcskip" line if it is flagged
 * MD_CYCLE_SKIPPED.  Returns the length without the NUL; 0 if `size` is too small.  Blanks, commas
 * and control characters of `name` become _, as does an empty one. */
size_t gctrace_format(const struct md_cycle *cycle, uint32_t pid, const char *name, char *buf,
                      size_t size);

/* Which fields a line has, from few to all. */
enum gctrace_form {
    GCTRACE_NONE,   /* not such a line */
    GCTRACE_GO_OLD, /* of a Go program, 1.5 to 1.17: no stacks and globals */
    GCTRACE_GO,     /* of a Go program, 1.18 and later */
    GCTRACE_OURS,   /* objects, what is unreachable, pid and name too */
    GCTRACE_EXACT,  /* a record of JSON: every field */
};

/* The same record as one line of JSON, exact, in ns and bytes, with GCTRACE_JSON_VERSION as
 * `version` and gc or gcskip as `type`.  Fields that `form` does not have are left out; pid and
 * name of a Go program are null.  Returns as gctrace_format. */
#define GCTRACE_JSON_VERSION 1
size_t gctrace_format_json(enum gctrace_form form, const struct md_cycle *cycle, uint32_t pid,
                           const char *name, char *buf, size_t size);

/* Reads one line of ours, or of a Go program's (`pid` is then 0 and `name` empty), with or without
 * its newline.  For every other line it returns GCTRACE_NONE and writes nothing.  Go 1.5 has five
 * phases: scan and sync are added to the mark.
 * `name` holds GCTRACE_NAME_SIZE bytes; longer ones are cut. */
enum gctrace_form gctrace_parse(const char *line, size_t length, struct md_cycle *out,
                                uint32_t *pid, char *name);

/* The numbers and flags of a JSON record, for who reads one.  Beside them it has `version`, `type`,
 * `pid`, `name`, `start_ns`, `reason` and `engine`. */
struct gctrace_field {
    const char *key;
    unsigned offset, size;  /* in struct md_cycle; 4 or 8 bytes */
    enum gctrace_form form; /* the first that has it */
    uint32_t flags;         /* MD_CYCLE_*: only cycles with all of these have it */
};
struct gctrace_flag {
    const char *key;
    uint32_t flag;
    enum gctrace_form form;
};
extern const struct gctrace_field gctrace_fields[];
extern const struct gctrace_flag gctrace_flags[];
extern const unsigned gctrace_field_count, gctrace_flag_count;
/* enum md_engine of this name; MD_ENGINE_NONE if there is none such. */
uint32_t gctrace_engine(const char *name);

#endif
