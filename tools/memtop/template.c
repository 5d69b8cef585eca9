#include "template.h"

#include <stdio.h>
#include <string.h>

/* `line` without the @ around it. */
static bool print_part(const struct template_part *parts, char *line)
{
    char *argument = line + strcspn(line, " ");
    if (*argument != '\0')
        *argument++ = '\0';
    for (; parts->name; parts++)
        if (strcmp(parts->name, line) == 0)
            return parts->print(argument);
    return false;
}

int template_fill(const struct template_part *parts)
{
    char line[4096], name[4096];
    while (fgets(line, sizeof line, stdin)) {
        size_t length = strlen(line);
        if (length > 3 && line[0] == '@' && strcmp(line + length - 2, "@\n") == 0) {
            snprintf(name, sizeof name, "%.*s", (int)length - 3, line + 1);
            if (!print_part(parts, name)) {
                fprintf(stderr, "nothing comes in the place of %s", line);
                return 1;
            }
        } else {
            fputs(line, stdout);
        }
    }
    return ferror(stdin) || fflush(stdout) ? 1 : 0;
}
