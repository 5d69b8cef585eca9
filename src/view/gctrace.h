/* The gctrace line: how a cycle is told to people (and how it is read back from a log).  The
 * library writes these lines with its threads barely resumed and memtop prints and reads them, so
 * this code uses no heap, no stdio, no locale and no errno: it is async-signal-safe.
 *
 * Numbers follow Go's runtime to the letter: times of a cycle in ms with two significant digits, at
 * most three decimals, truncated; bytes in MiB truncated although the line says MB; the start in
 * seconds with three decimals.  What is read back from a line is as coarse as the line. */
#ifndef VIEW_GCTRACE_H
#define VIEW_GCTRACE_H

#include <memdebug/segment.h>
#include <stdbool.h>
#include <stddef.h>

#define GCTRACE_LINE_SIZE 768  /* any line fits, its newline and a NUL too */
#define GCTRACE_JSON_SIZE 2048 /* any record fits, likewise */
#define GCTRACE_NAME_SIZE 32   /* as md_header.name */

/* Writes the line of `cycle` with its newline, a "gcskip" line if it is flagged MD_CYCLE_SKIPPED,
 * and a NUL.  Returns the length without the NUL; 0 if `size` does not do.  Blanks, commas and
 * control characters of `name` become _. */
size_t gctrace_format(const struct md_cycle *cycle, uint32_t pid, const char *name, char *buf,
                      size_t size);

/* How much a line says. */
enum gctrace_form {
    GCTRACE_NONE,   /* it is none */
    GCTRACE_GO_OLD, /* of a Go program, 1.5 to 1.17: no stacks and globals */
    GCTRACE_GO,     /* of a Go program, 1.18 and later */
    GCTRACE_OURS,   /* objects, what is unreachable, pid and name too */
    GCTRACE_EXACT,  /* a record of JSON: every field */
};

/* The same record as one line of JSON, exact, in ns and bytes, with `version` 1 and `type` gc or
 * gcskip.  What `form` does not say is left out, pid and name of a Go program are null. */
#define GCTRACE_JSON_VERSION 1
size_t gctrace_format_json(enum gctrace_form form, const struct md_cycle *cycle, uint32_t pid,
                           const char *name, char *buf, size_t size);

/* Reads one line of ours, or of a Go program's (`pid` is then 0 and `name` empty), with or without
 * its newline.  GCTRACE_NONE, and nothing written, for every other line.  What Go 1.5 tells of five
 * phases is put into the three of today.
 * `name` holds GCTRACE_NAME_SIZE bytes; longer ones are cut. */
enum gctrace_form gctrace_parse(const char *line, size_t length, struct md_cycle *out,
                                uint32_t *pid, char *name);

/* The record's numbers and flags, for whoever reads it: beside them `type`, `pid`, `name`,
 * `start_ns`, `reason` and `engine`. */
struct gctrace_field {
    const char *key;
    unsigned offset, size;  /* in struct md_cycle; 4 or 8 bytes */
    enum gctrace_form form; /* the least that says it */
    uint32_t flags;         /* said only of cycles with these */
};
struct gctrace_flag {
    const char *key;
    uint32_t flag;
    enum gctrace_form form;
};
extern const struct gctrace_field gctrace_fields[];
extern const struct gctrace_flag gctrace_flags[];
extern const unsigned gctrace_field_count, gctrace_flag_count;
/* enum md_engine of its name; what is unknown is MD_ENGINE_NONE. */
uint32_t gctrace_engine(const char *name);

#endif
