#include "gc/ask/why.h"

#include "base/compiler.h"
#include "gc/ask/answers.h"
#include "gc/ask/graph.h"
#include "gc/ask/thread_stack.h"
#include "gc/ask/where.h"
#include "gc/sys/proc.h"

/* Of a long path, so many steps from the root on and as many last ones are told. */
#define STEPS_EACH_END 16u

/* `from` of a block that is a stack (graph.h); its words are roots. */
#define FROM_STACK 1

struct search {
    struct graph graph;
    uintptr_t *from;  /* by number: the address of the word that led there first; 0: none has */
    uintptr_t *queue; /* blocks reached, in that order */
    uint32_t reached, looked_into;
    uintptr_t wanted[WHY_MAX]; /* blocks that are still looked for; 0: none */
    unsigned left;             /* of them */
};

static bool reach(void *ctx, uintptr_t at, uintptr_t word)
{
    struct search *search = ctx;
    size_t size;
    uintptr_t block = graph_block(&search->graph, word, &size);
    if (!block)
        return true;
    uintptr_t *from = &search->from[graph_number(&search->graph, block)];
    if (*from)
        return true;
    *from = at;
    search->queue[search->reached++] = block;
    for (unsigned i = 0; i < WHY_MAX; i++)
        if (search->wanted[i] == block) {
            search->wanted[i] = 0;
            search->left--;
        }
    return search->left;
}

static void reach_stack(void *ctx, uintptr_t block)
{
    struct search *search = ctx;
    uintptr_t *from = &search->from[graph_number(&search->graph, block)];
    if (!*from)
        *from = FROM_STACK;
}

static const char *search_all(struct search *search)
{
    struct graph_look look = {&search->graph, reach, reach_stack, search};
    if (!graph_roots(&look))
        return "/proc/self/maps cannot be read";
    while (search->left && search->looked_into < search->reached) {
        size_t size = 0;
        uintptr_t block = search->queue[search->looked_into++];
        graph_block(&search->graph, block, &size);
        graph_words(&look, block, size);
    }
    return NULL;
}

/* The block that the word which led to `block` lies in; 0: that word is a root's. */
static uintptr_t holder(const struct search *search, uintptr_t block, uintptr_t *word)
{
    size_t size;
    *word = search->from[graph_number(&search->graph, block)];
    uintptr_t before = *word == FROM_STACK ? 0 : graph_block(&search->graph, *word, &size);
    bool is_stack = before && search->from[graph_number(&search->graph, before)] == FROM_STACK;
    return is_stack ? 0 : before;
}

static void tell_path(const struct search *search, struct md_answer_path *path)
{
    uintptr_t block = path->block, word, before;
    uint32_t number = path->steps;
    uint64_t offset = 0;
    for (;;) {
        number--;
        uint32_t place =
            number < path->steps_before ? number : number + path->steps_here - path->steps;
        before = holder(search, block, &word);
        if (number < path->steps_before || path->steps - number <= STEPS_EACH_END) {
            struct md_path_step *step = &path->step[place];
            size_t size = 0;
            graph_block(&search->graph, block, &size);
            *step = (struct md_path_step){block, size, offset};
        }
        if (!before)
            break;
        offset = word - before;
        block = before;
    }
    if (word == FROM_STACK)
        path->root = MD_ROOT_OTHER;
    else
        where_is(word, path);
}

static enum md_path_state state_of(const struct search *search, const struct ask *ask,
                                   uintptr_t address, uintptr_t block)
{
    if (address - ask->index->lo >= ask->index->span)
        return MD_PATH_NO_HEAP;
    if (!block)
        return MD_PATH_FREE;
    if (search->from[graph_number(&search->graph, block)])
        return MD_PATH_REACHED;
    for (size_t i = 0; i < ask->doubted_count; i++)
        if (ask->doubted[i] == block)
            return MD_PATH_DOUBTED;
    return MD_PATH_UNREACHED;
}

static void tell(const struct search *search, const struct ask *ask, uintptr_t address)
{
    size_t size = 0;
    uintptr_t block = graph_block(&search->graph, address, &size), word;
    struct md_answer_path about = {.address = address, .block = block, .size = size};
    about.state = state_of(search, ask, address, block);
    if (about.state == MD_PATH_REACHED)
        for (uintptr_t at = block; at; at = holder(search, at, &word))
            about.steps++;
    about.steps_here = MIN(about.steps, 2 * STEPS_EACH_END);
    about.steps_before = about.steps_here < about.steps ? STEPS_EACH_END : about.steps_here;
    struct md_answer_path *path = answers_record(
        MD_ANSWER_PATH, sizeof *path + about.steps_here * sizeof(struct md_path_step));
    if (!path)
        return;
    about.record = path->record;
    *path = about;
    if (path->state == MD_PATH_REACHED)
        tell_path(search, path);
}

/* The addresses of the question; how many. */
static unsigned read_addresses(const char *text, uintptr_t addresses[WHY_MAX])
{
    unsigned count = 0;
    while (count < WHY_MAX) {
        const char *end;
        uintptr_t address = proc_number(text, 16, &end);
        if (end == text)
            break;
        addresses[count++] = address;
        for (text = end; *text == ' '; text++)
            ;
    }
    return count;
}

const char *why_answer(const struct ask *ask)
{
    static struct search search;
    static uintptr_t addresses[WHY_MAX];
    unsigned count = read_addresses(ask->rest, addresses);
    if (!count)
        return "no address is asked for";
    const char *reason = graph_build(&search.graph, ask);
    uint64_t bytes = (uint64_t)search.graph.count * sizeof(uintptr_t);
    if (!reason)
        reason = ask->room_for(2 * bytes);
    if (reason)
        return reason;
    search.from = graph_table(bytes);
    search.queue = graph_table(bytes);
    if (!search.from || !search.queue)
        return "no memory to answer in";
    for (unsigned i = 0; i < count; i++) {
        size_t size;
        search.wanted[i] = graph_block(&search.graph, addresses[i], &size);
        search.left += search.wanted[i] != 0;
    }
    if (search.left && (reason = search_all(&search)))
        return reason;
    where_begin();
    for (unsigned i = 0; i < count; i++)
        tell(&search, ask, addresses[i]);
    thread_stacks_tell_modules();
    return NULL;
}
