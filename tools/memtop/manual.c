/* Prints memtop(1) as scdoc source: memtop.1.scd, read from standard input, with the tables that
 * the program has in the place of the lines that name them. */
#include <stdio.h>
#include <string.h>

static void print_keys(void)
{
    static const char *const keys[][2] = {
#define KEY(ident, name, word, help_name, help, man_name, man, ...) {man_name, man},
#include "ui/keys.def"
#undef KEY
    };
    const char *before = "";
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (keys[i][0][0] == '\0')
            continue;
        printf("%s%s\n\t%s\n", before, keys[i][0], keys[i][1]);
        before = "\n";
    }
}

int main(void)
{
    char line[4096];
    while (fgets(line, sizeof line, stdin)) {
        if (strcmp(line, "@KEYS@\n") == 0)
            print_keys();
        else
            fputs(line, stdout);
    }
    return ferror(stdin) || fflush(stdout) ? 1 : 0;
}
