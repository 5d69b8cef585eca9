#include "gc/ask/answers.h"

#include "base/compiler.h"
#include "base/os.h"
#include "segment/segment.h"

#include <string.h>
#include <sys/mman.h>

/* Words of records at most; only what is written to is memory. */
#define RECORDS_MAX ((size_t)1 << 18)

/* The tracer thread's, but for the rest of it, which the copy writes before it says that it is
 * done (release), and the tracer reads after that. */
struct answers {
    size_t count; /* words */
    uint32_t flags;
    uint64_t words[RECORDS_MAX];
};
#define ANSWERS_BYTES os_page_up(sizeof(struct answers))
static struct answers *answers; /* MAP_SHARED; NULL: nothing is asked */

static void unmap(void)
{
    struct answers *old = answers;
    answers = NULL;
    if (!old)
        return;
    own_forget(old, ANSWERS_BYTES);
    os_munmap(old, ANSWERS_BYTES);
}

bool answers_prepare(void)
{
    unmap();
    answers = own_map_as(ANSWERS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, 0);
    return answers;
}

void answers_begin(void)
{
    answers->count = 0; /* a copy whose stop was called off may have been here */
    answers->flags = 0;
}

void *answers_record(enum md_answer_kind kind, size_t bytes)
{
    size_t words = (bytes + 7) / 8;
    if (answers->flags & MD_ANSWER_CUT || words > RECORDS_MAX - answers->count) {
        answers->flags |= MD_ANSWER_CUT;
        return NULL;
    }
    struct md_answer_record *record = (void *)&answers->words[answers->count];
    memset(record, 0, words * 8);
    *record = (struct md_answer_record){kind, (uint32_t)words};
    answers->count += words;
    return record;
}

/* As many of the records, from the first on, as fit into so many words. */
static size_t fitting(size_t room)
{
    size_t words = 0;
    while (words < answers->count) {
        const struct md_answer_record *record = (const void *)&answers->words[words];
        if (record->words > room - words)
            break;
        words += record->words;
    }
    return words;
}

void answers_tell(struct md_answer *answer)
{
    if (!segment_check()) {
        unmap();
        return;
    }
    segment_hold(true);
    size_t words = answers && !answer->reason[0]
                       ? fitting(MIN(answers->count, segment_capacity(MD_SECTION_ANSWERS)))
                       : 0;
    struct md_answer *to = &segment_header()->answer;
    uint32_t seq = to->seq | 1;
    __atomic_store_n(&to->seq, seq, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    if (words && !segment_grow(MD_SECTION_ANSWERS, words))
        words = 0;
    if (words)
        memcpy(segment_table(MD_SECTION_ANSWERS), answers->words, words * 8);
    if (words > segment_count(MD_SECTION_ANSWERS))
        segment_set_count(MD_SECTION_ANSWERS, words);
    if (answers && !answer->reason[0])
        answer->flags = answers->flags | (words < answers->count ? MD_ANSWER_CUT : 0);
    answer->words = words;
    answer->number = to->number + 1;
    memcpy((char *)to + sizeof to->seq, (const char *)answer + sizeof answer->seq,
           sizeof *to - sizeof to->seq);
    __atomic_store_n(&to->seq, seq + 1, __ATOMIC_RELEASE);
    segment_hold(false);
    unmap();
}

void answers_postfork_child(void)
{
    unmap();
}
