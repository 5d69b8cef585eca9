/* tools/memtop/ui/keys.c: what each key asks for. */
#include "support/tap.h"
#include "ui/keys.h"
#include "ui/term.h"

#include <string.h>

/* Each key asks for what its row says: none stands in two rows. */
static void test_table(void)
{
    size_t bound = 0, wrong = 0, mute = 0;
    for (int row = 0; row < KEYS_COUNT; row++) {
        int i = 0;
        for (; i < KEY_BINDINGS_MAX && keys[row].bindings[i].code; i++, bound++)
            wrong += key_action(keys[row].bindings[i].code) != keys[row].bindings[i].action;
        mute += i == 0 || keys[row].name[0] == '\0' || keys[row].word[0] == '\0';
        mute += (keys[row].help[0] == '\0') != (keys[row].man[0] == '\0');
    }
    ok(bound > 30 && wrong == 0, "%zu keys, none is bound twice", bound);
    ok(mute == 0, "each row does something and says so; help page and manual have the same");
}

static void test_actions(void)
{
    ok(key_action('q') == ACTION_BACK && key_action(TERM_QUIT) == ACTION_QUIT,
       "q leads back, F10 out");
    ok(key_action('k') == ACTION_UP && key_action(TERM_UP) == ACTION_UP, "k is up");
    ok(key_action('<') == ACTION_SORT_LEFT && key_action('.') == ACTION_SORT_RIGHT,
       "the column on the left, on the right");
    ok(key_action('x') == ACTION_NONE && key_action(TERM_NONE) == ACTION_NONE &&
           key_action(TERM_RESIZE) == ACTION_NONE,
       "what is not bound asks for nothing");
}

int main(void)
{
    test_table();
    test_actions();
    return tap_done();
}
