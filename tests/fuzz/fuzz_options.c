/* Any bytes as MEMDEBUG: taken or refused, never a byte beyond; what is left for a child says
 * nothing and means the same, and so does what is described. */
#include "replay.h"

#include "base/fmt.h"
#include "base/options.h"

#include <stdlib.h>
#include <string.h>

struct state {
    uint64_t numbers[OPTION_COUNT];
    char texts[OPTION_COUNT][1024];
};

static void take(struct state *s)
{
    for (int id = 0; id < OPTION_COUNT; id++) {
        s->numbers[id] = option_number((enum option_id)id);
        const char *text = option_text((enum option_id)id);
        size_t n = strlen(text);
        if (n >= sizeof s->texts[id])
            abort();
        memcpy(s->texts[id], text, n + 1);
    }
}

static void check(bool condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct state first, again;
    static char described[1 << 17], twice[1 << 17];
    char *text = malloc(size + 1), *before = malloc(size + 1);
    if (!text || !before)
        abort();
    memcpy(text, bytes, size);
    text[size] = 0;
    size = strlen(text);
    options_parse(text);
    check(strlen(text) == size);
    take(&first);
    /* A child by exec: the same options, and nothing more to complain about. */
    memcpy(before, text, size + 1);
    options_parse(text);
    take(&again);
    check(memcmp(first.numbers, again.numbers, sizeof first.numbers) == 0);
    for (int id = 0; id < OPTION_COUNT; id++)
        check(strcmp(first.texts[id], again.texts[id]) == 0);
    check(strcmp(before, text) == 0);

    options_describe(described, 7); /* a buffer that is short */
    check(strlen(described) <= 6);
    options_describe(described, sizeof described);
    memcpy(twice, described, sizeof twice);
    options_parse(twice);
    options_describe(twice, sizeof twice);
    check(strcmp(described, twice) == 0);

    char *equals = strchr(before, '=');
    if (equals) {
        *equals = 0;
        option_set(before, equals + 1);
    }
    free(text);
    free(before);
    return 0;
}

uint8_t *fuzz_seed(unsigned index, size_t *size)
{
    static const char *const seeds[] = {
        "gctrace=1,gcpercent=50%,gcminheap=4MiB,gcinterval=500ms,memprofilerate=64KiB",
        "heapprofile=/tmp/a\\,b.{pid},heapprofilesignal=USR2,heapprofileinterval=2m,unwind=fp",
        " GC-Trace = json , follow = fork,exec, only=redis-server:python3,keepdead=3,monitor=off",
        "gctrce=1,memprofilerate=lots,leakcheck=1,gc=collect,=,x=\\,,fol_low=none,help",
    };
    if (index >= sizeof seeds / sizeof seeds[0])
        return NULL;
    *size = strlen(seeds[index]);
    return (uint8_t *)strdup(seeds[index]);
}
