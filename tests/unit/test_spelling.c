/* The distance of words, on pairs whose distance anyone can count. */
#include "base/spelling.h"
#include "tap.h"

#include <string.h>

int main(void)
{
    static const struct {
        const char *a, *b;
        unsigned distance;
    } pairs[] = {{"", "", 0},         {"", "abc", 3},           {"leak", "leaks", 1},
                 {"haep", "heap", 2}, {"gctrce", "gctrace", 1}, {"kitten", "sitting", 3},
                 {"flaw", "lawn", 2}, {"heap", "heap", 0}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        is(spelling_distance(pairs[i].a, pairs[i].b), pairs[i].distance, "%s, %s", pairs[i].a,
           pairs[i].b);
        is(spelling_distance(pairs[i].b, pairs[i].a), pairs[i].distance, "and the other way");
    }
    char longer[1000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    is(spelling_distance(longer, ""), SPELLING_MAX, "what is longer counts to its limit");
    is(spelling_distance("", longer), SPELLING_MAX, "and the other way");
    return tap_done();
}
