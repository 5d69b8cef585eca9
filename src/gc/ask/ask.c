#include "gc/ask/ask.h"

#include "base/compiler.h"
#include "gc/ask/answers.h"
#include "gc/ask/retained.h"
#include "gc/ask/threads.h"
#include "gc/ask/why.h"

#include <string.h>

static const struct {
    const char *word;
    ask_fn *answer;
    const char *(*prepare)(void); /* on the tracer thread, before the stop; may be NULL */
} questions[] = {
    {"retained", retained_answer},
    {"why", why_answer},
    {"threads", threads_answer, threads_prepare},
};

static struct ask asked;
static unsigned asked_number; /* in questions[] */

/* Which question the text begins with; none: ARRAY_LENGTH. */
static unsigned find(const char *text)
{
    size_t length = strcspn(text, " ");
    unsigned i = 0;
    while (i < ARRAY_LENGTH(questions) &&
           (strlen(questions[i].word) != length || memcmp(questions[i].word, text, length) != 0))
        i++;
    return i;
}

const char *ask_prepare(const char *question)
{
    size_t length = strnlen(question, sizeof asked.text - 1);
    memcpy(asked.text, question, length);
    asked.text[length] = '\0';
    asked_number = find(asked.text);
    if (asked_number == ARRAY_LENGTH(questions))
        return "this memdebug does not know that question";
    asked.rest = asked.text + strcspn(asked.text, " ");
    asked.rest += strspn(asked.rest, " ");
    if (!answers_prepare())
        return "no memory for the answer";
    return questions[asked_number].prepare ? questions[asked_number].prepare() : NULL;
}

const char *ask_answer(struct heap_index *index, const uintptr_t *doubted, size_t doubted_count,
                       const char *(*room_for)(uint64_t bytes))
{
    asked.index = index;
    asked.doubted = doubted;
    asked.doubted_count = doubted_count;
    asked.room_for = room_for;
    answers_begin();
    return questions[asked_number].answer(&asked);
}
