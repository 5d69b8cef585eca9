/* The segment: one file on tmpfs in which a process that runs on memdebug keeps everything that a
 * person may want to see of its memory.  Trace lines, profiles, charts and post-mortems are
 * readings of it, made by the same code inside the process and outside it.
 *
 * This header is the format and nothing else: the writer (src/segment, src/prof, src/gc) and the
 * readers (src/view) include it and share no other knowledge.
 *
 * Rules of the format:
 *  - Fixed-width fields, explicit padding, little endian, offsets instead of pointers.
 *  - Tables only grow: an entry's place never moves.  `count` of a section says how many entries
 *    from the start may be in use; bytes behind it may not even exist in the file.
 *  - The writer never waits.  Where a record can be rewritten it carries `seq`, odd while it is
 *    being written; a reader that sees odd or a changed `seq` tries again, then skips the record.
 *  - A reader trusts nothing in here: every offset, count and string is checked before use.
 *  - It grows at its ends.  A field is added behind the last one of the header (header_size) or of
 *    an entry (entry_size), a section behind the last one, and `version` grows by one.  A reader
 *    takes of each what it knows, and passes over the rest; what an older writer had not is 0 to
 *    it.  Where more than that changes, `oldest_reader` does.  `control` stays where it is, and is
 *    written to only by who knows the version.
 *  - All times ending in _ns are CLOCK_MONOTONIC of the writer's machine unless the name says
 *    `realtime`.
 */
#ifndef MEMDEBUG_SEGMENT_H
#define MEMDEBUG_SEGMENT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MD_SEGMENT_MAGIC "MDSEG\r\n\032" /* 8 bytes, as PNG's: catches text-mode copies */
/* 2: md_cycle.unseen_threads.  Readers of version 1 read no other.
 * 3: MD_SECTION_MAPPINGS, and buckets of more kinds than the heap.
 * 4: md_bucket.label.
 * 5: MD_REQUEST_PURGE; md_control.set_served.
 * 6: MD_REQUEST_ALLOCATOR, md_header.allocator, MD_SECTION_RANGES; counters of what
 *    samples cost; MD_FLAG_ASKABLE.
 * 7: MD_REQUEST_QUESTION, md_header.answer, MD_SECTION_ANSWERS; buckets of the kinds peak and
 *    pinned, MD_REQUEST_PINS, md_header.pinned_ns.
 * 8: MD_SECTION_PAST. */
#define MD_SEGMENT_VERSION 8u
#define MD_SEGMENT_OLDEST_READER 2u
/* Files are named PID-STARTTIME.mdseg or, where that name is taken by something else,
 * PID-STARTTIME.TAG.mdseg, TAG in hexadecimal; until they are finished a suffix follows.  As long
 * as its process has it mapped, a file has a write lock (F_OFD_GETLK): without one, it is dead. */
#define MD_SEGMENT_SUFFIX ".mdseg"
#define MD_SEGMENT_UNFINISHED ".new"

enum md_section_id {
    MD_SECTION_CYCLES,    /* struct md_cycle, a ring: cycle n lies at n % capacity */
    MD_SECTION_MODULES,   /* struct md_module */
    MD_SECTION_STACKS,    /* uint64_t words: struct md_stack records, one behind the other */
    MD_SECTION_BUCKETS,   /* struct md_bucket */
    MD_SECTION_SAMPLES,   /* struct md_sample */
    MD_SECTION_UNSAMPLED, /* struct md_unsampled, at the place of its size class: some are unused */
    MD_SECTION_MAPPINGS,  /* struct md_mapping */
    MD_SECTION_RANGES,    /* struct md_range, as of md_header.allocator */
    MD_SECTION_ANSWERS,   /* uint64_t words: records of the last answer, as of md_header.answer */
    MD_SECTION_PAST,      /* struct md_past, in any order: see there */
    MD_SECTION_COUNT
};

struct md_section {
    uint64_t offset;     /* from the start of the file, multiple of 4096 */
    uint32_t entry_size; /* bytes */
    uint32_t reserved;
    uint64_t capacity; /* entries */
    uint64_t count;    /* entries from the start that may be in use; of the ring of cycles, all that
                          have ever been written.  Only grows; atomic, release */
};

/* md_header.flags */
#define MD_FLAG_TRACKED 1u /* the variant with the object map: counts of objects are exact */
#define MD_FLAG_GC 2u      /* cycles are possible (gc=ready or more) */
#define MD_FLAG_THREAD 4u  /* a thread of ours answers the control word */
#define MD_FLAG_FORKED 8u  /* made by a forked copy: early samples are inherited */
#define MD_FLAG_EXITED 16u /* set at normal exit if the file could not be removed, or was kept */
#define MD_FLAG_SETS                                                                               \
    64u /* answers MD_REQUEST_SET, by set_served; without a thread of ours at the next             \
           publication of any thread */
/* Takes up every request, without a thread of ours at a publication of one of its threads, which
 * starts one.  It is set unless the process was told gc=off, or forked from one with threads. */
#define MD_FLAG_ASKABLE 128u
#define MD_FLAG_REPORT 32u /* kept: leakcheck's report could be written nowhere */

/* What the process counts: counters.def says what each is.  Bytes are usable sizes.  A thread adds
 * its share each 64 KiB it allocates or frees, so totals lag by at most that much a thread.  All
 * are 64-bit atomics. */
struct md_counters {
#define MD_COUNTER(name, since, kind, label, help) uint64_t name;
#define MD_LOSS(name, since, what, remedy, help) uint64_t name;
#include "counters.def"
    uint64_t reserved[12];
};

enum md_counter_kind {
    MD_COUNTER_TOTAL,
    MD_COUNTER_OWN,
    MD_COUNTER_GAUGE,
    MD_COUNTER_TIME,
    MD_COUNTER_EXACT
};

/* Written by others (memtop), read by the process.  `request` is a futex word: change it by
 * atomic or, then FUTEX_WAKE (shared).  The process clears the bits it takes up. */
#define MD_REQUEST_GC 1u
#define MD_REQUEST_DUMP 2u
#define MD_REQUEST_SET 4u
#define MD_REQUEST_PURGE 8u /* give free pages back to the system */
/* Write md_header.allocator anew.  Without a thread of ours at the next publication of any thread,
 * which reads what needs no lock of the allocator's. */
#define MD_REQUEST_ALLOCATOR 16u
#define MD_REQUEST_QUESTION 32u /* answer md_control.question: md_header.answer */
/* Write the buckets of kind pinned anew.  Without a thread of ours bit by bit at publications. */
#define MD_REQUEST_PINS 64u
struct md_control {
    uint32_t request;
    uint32_t served;   /* grows by one each time requests have been carried out */
    int32_t result;    /* of the last one: 0 or an errno value; EACCES: seccomp */
    uint32_t set_lock; /* 0 free, else the pid that is writing `set` */
    /* "key=value", NUL-terminated, for MD_REQUEST_SET: written by who holds set_lock, while that
     * bit is clear.  Whoever takes the bit away reads it: the process to do it, or who asked to
     * withdraw it. */
    char set[256];
    uint32_t set_served; /* grows by one each time that it has been done */
    int32_t set_result;  /* of the last one: 0 or an errno value; ERANGE: not in this process */
    /* A question, for MD_REQUEST_QUESTION, in the same manner.  Who holds question_lock keeps it
     * until the answer has been read: the next one takes its place. */
    uint32_t question_lock;
    uint32_t question_served; /* grows by one each time that one has been answered, or refused */
    int32_t question_result;  /* of the last one: 0 or an errno value; EAGAIN: for answer.reason */
    uint32_t reserved32;
    /* Its word, and what that wants to know, separated by blanks; NUL-terminated. */
    char question[200];
    uint8_t reserved[16];
};

/* Where a trace line has gone. */
enum md_trace_output {
    MD_TRACE_UNKNOWN,  /* none yet */
    MD_TRACE_STDERR,   /* descriptor 2 as it was at load */
    MD_TRACE_REPLACED, /* what the program has put there since */
    MD_TRACE_FILE,     /* gctracefile */
    MD_TRACE_SEGMENT   /* nowhere but into the ring of cycles: MD_SECTION_CYCLES */
};

/* What the allocator had when it was last asked for (MD_REQUEST_ALLOCATOR).  The plain variant's
 * sampled blocks lie apart, each on pages of its own: these are only in sampled_dirty_bytes. */
#define MD_ALLOCATOR_RANGES 1u /* MD_SECTION_RANGES has all ranges */
#define MD_ALLOCATOR_BLOCKS 2u /* allocated_bytes and cached_bytes are known */
struct md_allocator {
    uint32_t seq;                 /* odd while it is being written, with the ranges */
    uint32_t flags;               /* MD_ALLOCATOR_* */
    uint64_t read_ns;             /* CLOCK_MONOTONIC; 0: never */
    uint64_t active_bytes;        /* pages in which some block lies */
    uint64_t dirty_bytes;         /* free pages that have memory */
    uint64_t muzzy_bytes;         /* and such that the system may take at any time */
    uint64_t own_bytes;           /* pages in which blocks of our own threads lie */
    uint64_t allocated_bytes;     /* blocks, those in threads' caches among them */
    uint64_t cached_bytes;        /* those */
    uint64_t sampled_dirty_bytes; /* free pages that sampled blocks lay on; most have no memory */
};

/* The last question that was answered, or could not be: of a copy of the process (clone), at
 * leisure beside it. */
#define MD_ANSWER_CUT 1u /* there was no room for all records */
struct md_answer {
    uint32_t seq;      /* odd while it is being written, with its records */
    uint32_t flags;    /* MD_ANSWER_* */
    uint64_t number;   /* of all questions; 0: none yet */
    uint64_t words;    /* of its records, from the start of MD_SECTION_ANSWERS */
    uint64_t start_ns; /* after md_header.start_ns */
    uint64_t stop_ns;  /* wall: the program's pause, of all attempts */
    uint64_t wall_ns;  /* from the end of that until it was there */
    uint64_t cpu_ns;   /* of all of it */
    char reason[64];   /* why there is none; empty: there is one */
};

/* First page of the file. */
struct md_header {
    char magic[8];
    uint32_t version;
    uint32_t header_size; /* sizeof(struct md_header) */
    uint64_t file_size;   /* as truncated: the most that the file may come to */
    uint32_t pid;
    uint32_t parent_pid;
    uint64_t start_ticks; /* /proc/PID/stat field 22: tells a reused pid */
    uint32_t uid;
    uint32_t exec_generation; /* grows when the same process execs */
    int64_t start_realtime_ns;
    uint64_t start_ns; /* of the process's memdebug; cycle and sample times count from here */
    uint32_t flags;    /* MD_FLAG_*, atomic */
    uint32_t cpus;     /* that the process may use */
    uint32_t page_size;
    uint32_t section_count; /* MD_SECTION_COUNT of the writer */
    struct md_section section[16];
    /* in force now; numbers that readers compute with, the rest is in options[] */
    uint64_t memprofilerate;
    uint64_t gcpercent;       /* UINT64_MAX: off */
    uint64_t heap_goal_bytes; /* of the next cycle, 0: none */
    uint32_t trace_output;    /* enum md_trace_output: of the last trace line */
    uint32_t oldest_reader;   /* the oldest version whose readers can read this; 0: `version` */
    uint64_t pinned_ns;       /* CLOCK_MONOTONIC: buckets of kind pinned are of then; 0: never */
    uint64_t reserved[11];
    char name[32];      /* executable's base name, blanks and commas as _ */
    char exe[512];      /* path */
    char cmdline[512];  /* arguments separated by blanks, cut */
    char options[1024]; /* "key=value,key=value" of everything that differs from its default */
    struct md_counters counters;
    struct md_control control;
    struct md_allocator allocator;
    struct md_answer answer;
};

/* One cycle of the tracing layer, or one that could not be done. */
#define MD_CYCLE_FORCED 1u  /* asked for: md_gc, memtop gc */
#define MD_CYCLE_SKIPPED 2u /* not done: `reason` says why; number is 0 */
#define MD_CYCLE_AT_EXIT 4u
#define MD_CYCLE_TIMED 8u /* by gcinterval */
#define MD_CYCLE_FINAL                                                                             \
    16u /* at exit, of a program with no other thread: a second would find the same */
/* leaked_* is known: all registers were seen, in this cycle and in one done before, or it is FINAL
 */
#define MD_CYCLE_LEAKS 32u
#define MD_CYCLE_UNSEEN 64u /* unseen_threads is known: a cycle done, of a writer that has it */
enum md_engine { MD_ENGINE_NONE, MD_ENGINE_CLONE, MD_ENGINE_WP, MD_ENGINE_STOP };

struct md_cycle {
    uint32_t seq;          /* odd while being written */
    uint32_t flags;        /* MD_CYCLE_* */
    uint64_t number;       /* from 1, no gaps; 0 for a skip */
    uint64_t index;        /* its place in the order of all records, from 0 */
    uint64_t start_ns;     /* after md_header.start_ns */
    uint64_t stop1_ns;     /* wall: first signal until all are woken, of all attempts */
    uint64_t mark_ns;      /* wall, concurrent */
    uint64_t stop2_ns;     /* wall; 0 where the snapshot needs none */
    uint64_t stop1_cpu_ns; /* of the look at /proc before it too */
    uint64_t assist_cpu_ns;
    uint64_t mark_cpu_ns; /* background */
    uint64_t idle_cpu_ns;
    uint64_t stop2_cpu_ns;
    uint64_t total_cpu_ns;        /* of all cycles so far */
    uint32_t utilization_percent; /* the line's U%, truncated */
    uint32_t cpus;
    uint64_t heap_start_bytes; /* A: in use at the snapshot */
    uint64_t heap_end_bytes;   /* B: A plus net allocation during the cycle */
    uint64_t heap_live_bytes;  /* C: reachable */
    uint64_t goal_bytes;
    uint64_t stack_bytes;   /* stacks and TLS scanned */
    uint64_t globals_bytes; /* modules' data and other mappings scanned */
    uint64_t live_objects;
    uint64_t unreachable_objects;
    uint64_t unreachable_bytes;
    uint64_t snapshot_ns; /* part of stop1_ns: the clone itself; by stop the mark; 0 by wp */
    uint32_t threads;     /* stopped */
    uint32_t attempts;    /* of the stop */
    uint32_t engine;      /* enum md_engine */
    uint32_t markers;     /* tasks that marked */
    /* Of the unreachable: those that no other unreachable block leads to, one for each group of
     * blocks that reach each other.  The rest is indirect. */
    uint64_t direct_objects;
    uint64_t direct_bytes;
    uint64_t leak_samples; /* live samples flagged MD_SAMPLE_LEAK once it is done */
    uint64_t arm_ns;       /* wall, before the stop: from when on writes were tracked */
    uint64_t rounds;       /* of cleaning, before the stop */
    uint64_t dirty_bytes;  /* looked at again in the stop */
    /* Of the unreachable: those that were so in the cycle done before, each the same block, whether
     * sampled or not; with MD_CYCLE_FINAL all of them.  0 without MD_CYCLE_LEAKS. */
    uint64_t leaked_objects;
    uint64_t leaked_bytes;
    char reason[64]; /* of a skip, else empty */
    /* Of the threads: those that could not be, or were not, interrupted in a system call, so that
     * nobody knows what their registers point to.  With any, unreachable_* may be too high, and
     * MD_CYCLE_LEAKS is not set. */
    uint32_t unseen_threads;
    uint32_t reserved32;
};

/* A mapped object file, live or gone. */
struct md_module {
    uint64_t start;  /* of its executable mapping(s) */
    uint64_t limit;  /* first byte behind */
    uint64_t offset; /* in the file, of `start` */
    uint64_t bias;   /* load bias: address in memory - address in the file's symbol tables */
    uint32_t born;   /* stack epochs from `born` on ... */
    uint32_t gone;   /* ... to before `gone` belong to it; 0: nothing else has been found there */
    uint32_t build_id_size;
    uint32_t path_size; /* without the NUL */
    uint8_t build_id[32];
    char path[440];
};

/* A call stack: header word(s) and depth return addresses, innermost first, each as the unwinder
 * gave it (a return address, so subtract 1 before a look-up).  A stack's id is the index of its
 * first word in MD_SECTION_STACKS; id 0 is the unknown stack, depth 0. */
struct md_stack {
    uint32_t depth;
    uint32_t epoch; /* of the module table when first seen */
    uint32_t hash;
    uint32_t truncated; /* 1: outer frames were cut */
    uint64_t pc[];
};
#define MD_STACK_HEADER_WORDS 2u
#define MD_STACK_MAX_DEPTH 1024u

/* What one call site did, of one kind (kinds.def), with one key (of the heap, the usable bytes of
 * each object; 0 where the kind has none) and with one label (of mmap, what is mapped).  Of the
 * heap, values are unbiased per sample before they are added: objects in 1/1024 (MD_WEIGHT_ONE),
 * bytes whole.  inuse = alloc - free. */
#define MD_WEIGHT_ONE 1024u
#define MD_WEIGHT_SHIFT 10
enum md_bucket_kind {
    MD_BUCKET_UNUSED,
#define MD_KIND(id, name, key, label, period_type, period_unit, period, help) MD_BUCKET_##id,
#include "kinds.def"
    MD_BUCKET_KINDS
};
enum md_label {
    MD_LABEL_NONE,
#define MD_KIND_LABEL(id, word, text) MD_LABEL_##id##_##word,
#include "kinds.def"
    MD_LABELS
};
/* Each value stands where its kind's `plus` and `minus` say. */
enum { MD_HEAP_ALLOC_OBJECTS, MD_HEAP_ALLOC_BYTES, MD_HEAP_FREE_OBJECTS, MD_HEAP_FREE_BYTES };
enum { MD_MMAP_CALLS, MD_MMAP_BYTES, MD_MMAP_GONE_CALLS, MD_MMAP_GONE_BYTES };
/* These two are of a moment, and written anew as a whole, with the stacks and keys of the heap's.
 * Peak: what was in use when most of the heap was (heapprofilepeak).  Pinned: the free room of
 * partly used slabs, each divided by the blocks in it, so that each block has its share; an
 * estimate, with its standard error.  Nothing is taken off them: the last is 0. */
enum { MD_PEAK_OBJECTS, MD_PEAK_BYTES, MD_PEAK_NONE };
enum { MD_PINNED_BYTES, MD_PINNED_ERROR, MD_PINNED_NONE };

struct md_bucket {
    uint32_t stack; /* id */
    uint32_t kind;  /* enum md_bucket_kind, written last (release) */
    uint64_t key;
    uint64_t value[4];
    uint64_t samples; /* drawn into it */
    uint64_t label;   /* enum md_label */
};

/* One sampled object that has not been freed.  What the last cycle done says of it is written anew
 * after each; an object that is reachable again, or was born since, has none of these three. */
#define MD_SAMPLE_INHERITED 1u /* made by the parent, before fork */
#define MD_SAMPLE_UNREACHED 2u /* no root reached it */
#define MD_SAMPLE_LEAK 4u      /* nor in the cycle done before: this same object */
#define MD_SAMPLE_INDIRECT 8u  /* with UNREACHED: another unreachable block leads to it */
struct md_sample {
    uint64_t addr;       /* 0: free slot; written last (release) */
    uint64_t weight;     /* objects it stands for, in 1/1024 */
    uint32_t bucket;     /* index */
    uint32_t generation; /* tells uses of a slot apart: of the process's newest sample the
                            greatest, modulo 2^32 */
    uint32_t born_ds;    /* tenths of a second after md_header.start_ns */
    uint32_t flags;      /* MD_SAMPLE_* */
};

/* A range that the program has mapped and, as far as it was seen, not unmapped.  Of a call's range
 * that was unmapped in its middle there are two. */
#define MD_MAPPING_STACK 1u     /* a thread's, made by pthread_create */
#define MD_MAPPING_INHERITED 2u /* made by the parent, before fork */
struct md_mapping {
    uint64_t start;  /* 0: free slot; written last (release) */
    uint64_t limit;  /* first byte behind */
    uint64_t serial; /* grows with each that is recorded */
    uint32_t bucket; /* index */
    uint32_t flags;  /* MD_MAPPING_* */
};

/* A range of address space that is not the program's own.  Those of one kind do not overlap;
 * metadata lies in the heap. */
enum md_range_kind {
    MD_RANGE_NONE,
    MD_RANGE_HEAP,     /* the allocator's */
    MD_RANGE_METADATA, /* what the allocator keeps of its blocks */
    MD_RANGE_OWN       /* memdebug's */
};
struct md_range {
    uint64_t start;
    uint64_t limit; /* first byte behind */
    uint64_t kind;  /* enum md_range_kind; NONE: an unused entry */
};

/* Leaked objects of one size class that no sample names, by the cycle with this number; where that
 * is another than the last one's, there are none. */
struct md_unsampled {
    uint64_t cycle; /* number; 0 while being written; atomic */
    uint64_t size;  /* usable bytes of each; 0: they differ */
    uint64_t objects;
    uint64_t bytes;
};

/* A record of an answer begins with this; which kinds there are its question says. */
enum md_answer_kind {
    MD_ANSWER_NONE,
    MD_ANSWER_PATH,   /* "why": struct md_answer_path */
    MD_ANSWER_HEAP,   /* "retained": struct md_answer_heap, first */
    MD_ANSWER_SITE,   /* and struct md_answer_site for each stack that has live samples */
    MD_ANSWER_THREAD, /* "threads": struct md_answer_thread */
    MD_ANSWER_MODULE  /* an object that addresses of other records lie in */
};
struct md_answer_record {
    uint32_t kind;  /* enum md_answer_kind */
    uint32_t words; /* of it, with this one: at least 1 */
};

/* "why ADDRESS...", in hexadecimal: for each of them a shortest path from a root to the block that
 * it lies in. */
enum md_path_state {
    MD_PATH_NO_HEAP,   /* the address is none of the heap's */
    MD_PATH_FREE,      /* no block of the program's lies there */
    MD_PATH_DOUBTED,   /* nothing leads there; it was just being allocated or freed */
    MD_PATH_UNREACHED, /* nothing leads there */
    MD_PATH_REACHED
};
enum md_root {
    MD_ROOT_NONE,
    MD_ROOT_REGISTER, /* of thread `tid` */
    MD_ROOT_STACK,    /* of thread `tid`: `offset` bytes above its stack pointer */
    MD_ROOT_TLS,      /* of thread `tid`, or its struct pthread: `offset` bytes above its pointer */
    MD_ROOT_MODULE,   /* `offset` is its address in the file's symbol tables */
    MD_ROOT_MAPPING,  /* `offset` bytes above the start of a mapping */
    MD_ROOT_OTHER     /* none that has an address: an alternate stack, or across words of code */
};
struct md_path_step {
    uint64_t block;
    uint64_t size;   /* usable bytes */
    uint64_t offset; /* of the word in it that leads to the next; of the last step 0 */
};
struct md_answer_path {
    struct md_answer_record record;
    uint64_t address; /* as it was asked for */
    uint64_t block;   /* that it lies in; 0: none */
    uint64_t size;
    uint32_t state;         /* enum md_path_state */
    uint32_t root;          /* enum md_root */
    uint64_t word;          /* address of the root's word; 0: it has none */
    int64_t offset;         /* as enum md_root says */
    uint64_t mapping_start; /* of the mapping that `word` lies in; 0: not known */
    uint64_t mapping_limit; /* first byte behind */
    uint64_t pc; /* of the frame that a root on a stack lies in, as in md_stack; 0: not known */
    uint32_t tid;
    uint32_t steps;        /* of the whole path */
    uint32_t steps_before; /* of step[], those from the root on; the others are the last ones */
    uint32_t steps_here;   /* in step[]; fewer than `steps`: some between are left out */
    char thread[16];       /* name of `tid` */
    char path[128];        /* of the module, or of the mapping, cut; empty: it has none */
    struct md_path_step step[];
};

/* "retained": what would go with each call stack's blocks: those that every path from the roots to
 * them leads through one of them.  A block that two stacks' blocks hold goes with neither. */
struct md_answer_heap {
    struct md_answer_record record;
    uint64_t blocks, bytes; /* reachable */
    uint64_t edges;         /* pointers that had to be kept */
    uint64_t samples;       /* live ones of reachable blocks */
};
struct md_answer_site {
    struct md_answer_record record;
    uint32_t stack; /* id */
    uint32_t samples;
    uint64_t retained_bytes;  /* never more than the reachable heap; an estimate, unless */
    double retained_variance; /* this is 0 */
    uint64_t own_bytes;       /* of its live objects, reachable or not */
    double own_variance;      /* as of retained_bytes */
    uint64_t objects;         /* in 1/1024 */
    double objects_variance;  /* of whole objects */
};

/* "threads": a record for each of the program's threads, and one for each object that their stacks
 * lead through, or that what they wait for lies in. */
#define MD_THREAD_SEEN 1u /* its registers are known */
/* It waits without a time for a futex that nothing leads to but threads which do the same. */
#define MD_THREAD_UNREACHED 2u
#define MD_THREAD_WORDS 8u
enum md_stack_end {
    MD_STACK_LOST, /* what called the last frame is not known */
    MD_STACK_WHOLE,
    MD_STACK_CUT /* there are more frames */
};
enum md_thread_place {
    MD_PLACE_OTHER,
    MD_PLACE_BLOCK,
    MD_PLACE_STACK, /* with thread-locals */
    MD_PLACE_MODULE /* its data */
};
struct md_answer_thread {
    struct md_answer_record record;
    uint32_t tid;
    uint32_t flags;       /* MD_THREAD_* */
    int32_t call;         /* number of the system call that it is in; -1: not known, or in none */
    uint32_t depth;       /* of pc[] */
    uint64_t args[6];     /* of that call */
    uint32_t stack_end;   /* enum md_stack_end */
    uint32_t place;       /* enum md_thread_place: where a futex lies that it waits for */
    uint64_t place_start; /* of the block; of a module its load bias */
    uint64_t place_bytes; /* of the block */
    uint32_t place_tid;   /* whose stack */
    uint32_t reserved32;
    uint32_t words[MD_THREAD_WORDS]; /* from the futex on */
    char name[16];
    uint64_t pc[]; /* as in struct md_stack; a frame that was interrupted is one further on */
};
struct md_answer_module {
    struct md_answer_record record;
    struct md_module module; /* born and gone are 0 */
};

/* What had been counted at a publication, the last one of its second.  What was published last of
 * all is not among them, but in md_header.counters.
 *
 * Of the last 600 seconds that had a publication each has a point.  Of those before, each 10 s have
 * one, the last one in them, 720 in all; then each minute, 1440; then each 10 minutes, 1008: a week
 * and more (less of each where the segment is small).  So of two points that follow one another the
 * first is what there was until the second's interval began: where they lie far apart the process
 * published nothing in between, and what it counted stood still, but for what threads keep back.  A
 * forked copy begins with none.
 *
 * They lie where there was room for them: a reader sorts them by time.  Two of the same time are
 * the same point, on its way from one interval to another. */
#define MD_PAST_HOLE 1u /* points before it are missing, as memory for them was refused */
#define MD_PAST_UNKNOWN UINT64_MAX
struct md_past {
    uint32_t seq;      /* odd while it is being written */
    uint32_t flags;    /* MD_PAST_* */
    uint32_t pause_us; /* the longest of a cycle since the point before; 0: there was no cycle */
    uint32_t cycles;   /* done so far */
    uint64_t time_ns;  /* CLOCK_MONOTONIC; 0: unused */
    uint64_t alloc_bytes;
    uint64_t free_bytes;
    uint64_t objects;         /* in use; MD_PAST_UNKNOWN: not counted */
    uint64_t reachable_bytes; /* in the last cycle; MD_PAST_UNKNOWN: there was none */
    uint64_t leaked_bytes;    /* by the last cycle; MD_PAST_UNKNOWN: it did not tell */
};

/* Bytes of an entry of each section. */
#define MD_SECTION_ENTRY_SIZES                                                                     \
    {                                                                                              \
        [MD_SECTION_CYCLES] = sizeof(struct md_cycle),                                             \
        [MD_SECTION_MODULES] = sizeof(struct md_module), [MD_SECTION_STACKS] = sizeof(uint64_t),   \
        [MD_SECTION_BUCKETS] = sizeof(struct md_bucket),                                           \
        [MD_SECTION_SAMPLES] = sizeof(struct md_sample),                                           \
        [MD_SECTION_UNSAMPLED] = sizeof(struct md_unsampled),                                      \
        [MD_SECTION_MAPPINGS] = sizeof(struct md_mapping),                                         \
        [MD_SECTION_RANGES] = sizeof(struct md_range), [MD_SECTION_ANSWERS] = sizeof(uint64_t),    \
        [MD_SECTION_PAST] = sizeof(struct md_past),                                                \
    }

#ifdef __cplusplus
#define MD_SEGMENT_ASSERT(c, m) static_assert(c, m)
#else
#define MD_SEGMENT_ASSERT(c, m) _Static_assert(c, m)
#endif
MD_SEGMENT_ASSERT(sizeof(struct md_section) == 32, "section");
MD_SEGMENT_ASSERT(sizeof(struct md_counters) == 256, "counters");
MD_SEGMENT_ASSERT(sizeof(struct md_control) == 512, "control");
MD_SEGMENT_ASSERT(sizeof(struct md_allocator) == 72, "allocator");
MD_SEGMENT_ASSERT(sizeof(struct md_header) == 3760, "header");
MD_SEGMENT_ASSERT(sizeof(struct md_header) <= 4096, "the header fits the first page");
MD_SEGMENT_ASSERT(sizeof(struct md_cycle) == 344, "cycle");
MD_SEGMENT_ASSERT(sizeof(struct md_module) == 520, "module");
MD_SEGMENT_ASSERT(sizeof(struct md_stack) == 16, "stack");
MD_SEGMENT_ASSERT(sizeof(struct md_bucket) == 64, "bucket");
MD_SEGMENT_ASSERT(sizeof(struct md_sample) == 32, "sample");
MD_SEGMENT_ASSERT(sizeof(struct md_unsampled) == 32, "unsampled");
MD_SEGMENT_ASSERT(sizeof(struct md_mapping) == 32, "mapping");
MD_SEGMENT_ASSERT(sizeof(struct md_range) == 24, "range");
MD_SEGMENT_ASSERT(sizeof(struct md_past) == 64, "past");
MD_SEGMENT_ASSERT(sizeof(struct md_answer) == 120, "answer");
MD_SEGMENT_ASSERT(sizeof(struct md_answer_record) == 8, "record of an answer");
MD_SEGMENT_ASSERT(sizeof(struct md_answer_path) == 240, "path");
MD_SEGMENT_ASSERT(sizeof(struct md_answer_heap) == 40, "heap");
MD_SEGMENT_ASSERT(sizeof(struct md_answer_site) == 64, "site");
MD_SEGMENT_ASSERT(sizeof(struct md_answer_thread) == 152, "thread");
MD_SEGMENT_ASSERT(sizeof(struct md_answer_module) == 528, "module of an answer");

#ifdef __cplusplus
}
#endif
#endif
