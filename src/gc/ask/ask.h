/* Questions about the heap, each answered in a frozen copy of the process (engine/clone.h), at
 * leisure beside the program: who holds a block.
 *
 * A question is text (md_control.question): a word, and what that wants to know.  To add one: its
 * word with a function of ask_fn in a file beside ask.c, a line of `questions` there, and its kinds
 * of records in segment.h, where `enum md_answer_kind` says which question they are of; memtop has
 * it asked by ask_question (tools/memtop/target/ask.h), and reads its records by snapshot_record
 * (view/snapshot.h).  What is asked may come from anybody who may write to the segment: nothing in
 * it is trusted. */
#ifndef GC_ASK_ASK_H
#define GC_ASK_ASK_H

#include "gc/mark/heap_index.h"

#include <memdebug/segment.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is asked, as the copy sees it. */
struct ask {
    char text[sizeof((struct md_control *)NULL)->question]; /* terminated */
    const char *rest; /* of the text, behind its word and blanks */
    /* White: blocks of the program's that are allocated, or may be.  They stay so. */
    struct heap_index *index;
    const uintptr_t *doubted; /* of them, those that may be free */
    size_t doubted_count;
    /* Whether so much memory for tables is no danger: NULL, or why it is (engine/headroom.h). */
    const char *(*room_for)(uint64_t bytes);
};

/* Answers a question, in the copy: raw system calls and memory of our own alone.  NULL, or why not.
 */
typedef const char *ask_fn(const struct ask *ask);

/* On the tracer thread, before the stop: memory for the answer.  NULL, or why there can be none;
 * `question` is text that may be anything, of at most as many bytes as md_control has. */
const char *ask_prepare(const char *question);
/* In the copy.  NULL, or why not. */
const char *ask_answer(struct heap_index *index, const uintptr_t *doubted, size_t doubted_count,
                       const char *(*room_for)(uint64_t bytes));

#endif
