/* tools/memtop/series/condition.c: which texts are conditions, and when one holds. */
#include "support/tap.h"
#include "series/condition.h"

#include <math.h>
#include <string.h>

static void test_grammar(void)
{
    static const struct {
        const char *text, *type;
        enum condition_bound bound;
        double number;
        bool has_unit;
    } good[] = {
        {"inuse_space > +10%", "inuse_space", CONDITION_SHARE, 10, false},
        {"inuse_space>+2.5%", "inuse_space", CONDITION_SHARE, 2.5, false},
        {" inuse_space > + 10 % ", "inuse_space", CONDITION_SHARE, 10, false},
        {"leak_space > 0", "leak_space", CONDITION_VALUE, 0, false},
        {"alloc_objects > 1000000", "alloc_objects", CONDITION_VALUE, 1000000, false},
        {"inuse_space > +5MB", "inuse_space", CONDITION_MORE, 5 << 20, true},
        {"inuse_space > 512 KiB ", "inuse_space", CONDITION_VALUE, 512 << 10, true},
        {"inuse_space\t>\t1g", "inuse_space", CONDITION_VALUE, 1 << 30, true},
    };
    static const char *const bad[] = {"",
                                      "inuse_space",
                                      ">",
                                      "> 0",
                                      "inuse_space >",
                                      "a > b",
                                      "inuse_space > 10%",
                                      "a > +",
                                      "a > +%",
                                      "inuse_space > -5MB",
                                      "a < 3",
                                      "inuse_space >= 3",
                                      "a > 3 4",
                                      "a > 3%%",
                                      "a > +3%x",
                                      "a > 1.5",
                                      "a > +1.5MB",
                                      "a > 5XB",
                                      "a > 0x10",
                                      "a b > 3",
                                      "a > nan",
                                      "a > 99999999999999999999",
                                      "a > +1e3%",
                                      "a > +9999999999999999%",
                                      "a > +.5%"};
    struct condition c;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        ok(condition_read(good[i].text, &c) && strcmp(c.type, good[i].type) == 0 &&
               c.bound == good[i].bound && fabs(c.number - good[i].number) < 1e-9 &&
               c.has_unit == good[i].has_unit,
           "'%s' is one", good[i].text);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ok(!condition_read(bad[i], &c), "'%s' is none", bad[i]);
    char text[300];
    memset(text, 'a', sizeof text);
    strcpy(text + 100, " > 0");
    ok(!condition_read(text, &c), "a name of 100 letters is none");
}

static enum condition_state look(const char *text, double a, double b, double variance)
{
    struct condition c;
    struct sampling_sum side[DIFF_SIDES] = {{a, variance}, {b, variance}};
    return condition_read(text, &c) ? condition_look(&c, side) : (enum condition_state) - 1;
}

static void test_states(void)
{
    is(look("x > 100", 0, 100, 0), CONDITION_NOT, "> is more than");
    is(look("x > 100", 0, 101, 0), CONDITION_HOLDS, "one more is");
    is(look("x > 0", 5, 0, 0), CONDITION_NOT, "0 is not above 0");
    is(look("x > 0", 0, 1, 1e6), CONDITION_HOLDS, "a value is taken as it was estimated");
    is(look("x > +10%", 1000, 1100, 0), CONDITION_NOT, "10 %% are not more than 10 %%");
    is(look("x > +10%", 1000, 1101, 0), CONDITION_HOLDS, "a bit more is");
    is(look("x > +10%", 0, 1, 0), CONDITION_HOLDS, "from nothing any growth is");
    is(look("x > +10%", 0, 0, 0), CONDITION_NOT, "none is not");
    is(look("x > +50", 1000, 1051, 0), CONDITION_HOLDS, "by 51, not 50");
    is(look("x > +50", 1000, 900, 0), CONDITION_NOT, "it fell");
    /* The error of a difference of two with variance 5000 each is 100. */
    is(look("x > +10%", 1000, 1290, 5000), CONDITION_UNCERTAIN, "2.9 errors: may be chance");
    is(look("x > +10%", 1000, 1310, 5000), CONDITION_HOLDS, "3.1 errors are not");
    is(look("x > +0", 1000, 1290, 5000), CONDITION_UNCERTAIN, "+0 asks for certain growth");
    is(look("x > +10%", 1000, 1200, NAN), CONDITION_HOLDS, "an error that is not known is none");
    is(look("x > +10%", -1000, -950, 0), CONDITION_NOT, "below 0: 5 %% up");
    is(look("x > +10%", -1000, -890, 0), CONDITION_HOLDS, "below 0: 11 %% up");
}

int main(void)
{
    test_grammar();
    test_states();
    return tap_done();
}
