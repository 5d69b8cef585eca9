/* Which engine is taken: by the process's own memory, by what has been seen, and after failures. */
#include "gc/engine/choice.h"
#include "tap.h"

#define MB (UINT64_C(1) << 20)
#define MS UINT64_C(1000000)

/* A process of 2 GB, whatever part of it is heap. */
#define JVM (2048 * MB)

static enum md_engine choose(uint64_t bytes)
{
    return engine_choose(MD_ENGINE_NONE, false, bytes);
}

static void test_guesses(void)
{
    engine_postfork_child();
    is(choose(13 * MB), MD_ENGINE_CLONE, "a small process: clone");
    is(choose(ENGINE_MIN_TRACKED - 1), MD_ENGINE_CLONE, "up to the bound");
    is(choose(JVM), MD_ENGINE_WP, "a large one: wp");
    is(engine_choose(MD_ENGINE_CLONE, false, JVM), MD_ENGINE_CLONE, "unless another is asked for");
    is(engine_choose(MD_ENGINE_WP, false, MB), MD_ENGINE_WP, "in a small one too");
    is(engine_choose(MD_ENGINE_NONE, true, JVM), MD_ENGINE_CLONE, "at exit: clone");
    is(engine_only(MD_ENGINE_NONE, false), MD_ENGINE_NONE, "each may be taken");
    is(engine_only(MD_ENGINE_NONE, true), MD_ENGINE_CLONE, "clone alone where memory is locked");
    is(engine_only(MD_ENGINE_WP, true), MD_ENGINE_WP, "unless another is asked for");
}

static void test_learning(void)
{
    engine_postfork_child();
    for (int i = 0; i < 20; i++)
        engine_note(MD_ENGINE_WP, JVM, 160 * MS);
    is(choose(JVM), MD_ENGINE_CLONE, "where wp stops for 160 ms, clone, of which 80 are expected");
    for (int i = 0; i < 20; i++)
        engine_note(MD_ENGINE_CLONE, JVM, 200 * MS);
    is(choose(JVM), MD_ENGINE_WP, "until that has been seen to take 200");
    is(choose(JVM / 16), MD_ENGINE_WP, "which is told of each GB");
    engine_postfork_child();
    engine_note(MD_ENGINE_WP, JVM, 21 * MS);
    is(choose(JVM), MD_ENGINE_WP, "one long pause of a busy machine changes nothing");
    for (int i = 0; i < 20; i++)
        engine_note(MD_ENGINE_CLONE, 8 * MB, 1000 * MS);
    is(choose(8 * MB), MD_ENGINE_CLONE, "small processes teach nothing");
}

#define HEAP (128 * MB)

static enum md_engine after(enum md_engine began, enum md_engine failed, uint64_t bytes,
                            bool available)
{
    return engine_after(MD_ENGINE_NONE, began, failed, bytes, available);
}

static void test_failures(void)
{
    engine_postfork_child();
    is(choose(JVM), MD_ENGINE_WP, "a large process");
    is(after(MD_ENGINE_WP, MD_ENGINE_WP, JVM, false), MD_ENGINE_CLONE,
       "where wp cannot be had: clone");
    is(after(MD_ENGINE_WP, MD_ENGINE_WP, HEAP, true), MD_ENGINE_CLONE,
       "where it was too slow, too, if that is a short pause");
    is(after(MD_ENGINE_CLONE, MD_ENGINE_CLONE, JVM, true), MD_ENGINE_WP,
       "where there is no room for a copy: wp");
    is(after(MD_ENGINE_CLONE, MD_ENGINE_WP, HEAP, true), MD_ENGINE_STOP, "and then stop");
    is(after(MD_ENGINE_CLONE, MD_ENGINE_STOP, HEAP, true), MD_ENGINE_NONE, "and then none");
    is(engine_after(MD_ENGINE_CLONE, MD_ENGINE_CLONE, MD_ENGINE_CLONE, JVM, true), MD_ENGINE_NONE,
       "what was asked for is all that is tried");
    engine_note_failure(MD_ENGINE_WP);
    is(choose(HEAP), MD_ENGINE_CLONE, "after a failure it rests for a cycle");
    is(choose(HEAP), MD_ENGINE_WP, "and is tried again");
    engine_note_failure(MD_ENGINE_WP);
    is(choose(HEAP), MD_ENGINE_CLONE, "the next time for two");
    is(choose(HEAP), MD_ENGINE_CLONE, "cycles");
    is(choose(HEAP), MD_ENGINE_WP, "and so on");
    engine_note(MD_ENGINE_WP, HEAP, MS);
    engine_note_failure(MD_ENGINE_WP);
    choose(HEAP);
    is(choose(HEAP), MD_ENGINE_WP, "success begins anew");
    engine_note_failure(MD_ENGINE_CLONE);
    is(choose(8 * MB), MD_ENGINE_WP, "a small process without room for a copy: wp");
}

/* A busy machine: wp is not done in time.  A clone's pause of 80 ms comes last. */
static void test_patience(void)
{
    engine_postfork_child();
    int clones = 0, skips = 0;
    for (int i = 0; i < ENGINE_PATIENCE - 1; i++) {
        clones += choose(JVM) != MD_ENGINE_WP;
        engine_note_failure(MD_ENGINE_WP);
        skips += after(MD_ENGINE_WP, MD_ENGINE_WP, JVM, true) == MD_ENGINE_NONE;
    }
    is(clones, 0, "a large process on a busy machine: wp again and again");
    is(skips, ENGINE_PATIENCE - 1, "and no long pause instead");
    engine_note_failure(MD_ENGINE_WP);
    is(after(MD_ENGINE_WP, MD_ENGINE_WP, JVM, true), MD_ENGINE_CLONE, "but not for ever");
    is(choose(JVM), MD_ENGINE_CLONE, "then it rests");
}

int main(void)
{
    test_guesses();
    test_learning();
    test_failures();
    test_patience();
    return tap_done();
}
