/* The options in force, parsed from MEMDEBUG by the one list in options.def.  Reading one is a
 * plain or a relaxed atomic load; nothing here allocates or stops the program. */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_id {
#define OPTION(id, ...) OPTION_##id,
#include "base/options.def"
#undef OPTION
    OPTION_COUNT
};

/* The words of each option that takes one of a few: what option_number is then. */
#define WORD_NAME(name, word) name,
enum gctrace_words { GCTRACE_WORDS(WORD_NAME) };
enum gc_mode { GC_WORDS(WORD_NAME) };
enum gcengine_words { GCENGINE_WORDS(WORD_NAME) };
enum gcstop_words { GCSTOP_WORDS(WORD_NAME) };
enum unwind_words { UNWIND_WORDS(WORD_NAME) };
enum follow_words { FOLLOW_WORDS(WORD_NAME) };
enum deepbind_words { DEEPBIND_WORDS(WORD_NAME) };
#undef WORD_NAME

/* Values of a number that is a word. */
#define OPTION_OFF UINT64_MAX
#define OPTION_AUTO (UINT64_MAX - 1)
/* Of a LIMIT that is not OFF: set beside a percentage; without it, the number is bytes. */
#define OPTION_SHARE (UINT64_C(1) << 62)

/* Parses the whole text (NULL: defaults only).  Complaints go to message(), each once in a process
 * tree: `text` is the environment's own bytes, and what has been complained about is overwritten by
 * commas there, so that children do not meet it.
 * Returns whether this process is the child by exec of one that has seen the text before: the first
 * one writes the key `follow` as fOllow, which children inherit, keys ignore, and nobody types. */
bool options_parse(char *text);
/* Whether one item, "key=value" without the escapes of a list, would be taken; else `complaint` is
 * the line that options_parse says, without "MEMDEBUG: ".  Changes nothing. */
bool options_check(const char *text, char *complaint, size_t size);
/* Whether `text`, parsed before, is met for the first time in the process tree by this call: it
 * writes the first key so that only its last letter is a capital, which is inherited as above. */
bool options_first_in_tree(char *text);

/* Whom the text was given to, by the mark that options_mark adds to it and children inherit: an
 * item
 * @PID.START, which is no option. */
enum options_given_to {
    GIVEN_FIRST, /* this process; there is no mark yet */
    GIVEN_HERE,  /* this process, before it became this program by exec */
    GIVEN_TO_PARENT
};
enum options_given_to options_given_to(void);
#define OPTIONS_MARK_SIZE 48
struct fmt;
void options_mark(struct fmt *f);

/* Value of a number, size (bytes), duration (ns), percentage, switch or signal, or which word. */
uint64_t option_number(enum option_id id);
/* Value as given; "" if none.  Static, valid for ever. */
const char *option_text(enum option_id id);
/* Whether MEMDEBUG names it. */
bool option_given(enum option_id id);

/* What gc= comes to, never GC_AUTO: that is decided by what else was asked for. */
enum gc_mode option_gc(void);

/* What option_set would set, and to what: with the same results; changes nothing. */
int option_read(const char *key, const char *value, enum option_id *id, uint64_t *number);
/* 0, EINVAL unknown key or value, EPERM not at run time, ENOSYS not in this version. */
int option_set(const char *key, const char *value);

/* "key=value,key=value" of what differs from its default. */
void options_describe(char *buf, size_t size);
/* The table of MEMDEBUG=help, as lines through `line`. */
void options_help(void (*line)(const char *text));

#endif
