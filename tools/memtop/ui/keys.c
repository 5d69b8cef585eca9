#include "keys.h"

#include "term.h"

const struct key keys[KEYS_COUNT] = {
#define KEY(ident, name, word, help_name, help, man_name, man, ...)                                \
    {name, word, help_name, help, man_name, man, {__VA_ARGS__}},
#include "keys.def"
#undef KEY
};

enum key_action key_action(int code)
{
    for (int row = 0; row < KEYS_COUNT && code; row++)
        for (int i = 0; i < KEY_BINDINGS_MAX && keys[row].bindings[i].code; i++)
            if (keys[row].bindings[i].code == code)
                return keys[row].bindings[i].action;
    return ACTION_NONE;
}
