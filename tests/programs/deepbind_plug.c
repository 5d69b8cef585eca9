/* A plug-in that takes and gives blocks, and has a function named like one of its program's. */
#include <stdlib.h>
#include <string.h>

void plug_eat(void *block);
char *plug_make(void);
const char *whose(void);
const char *plug_asks(void);

void plug_eat(void *block)
{
    free(block);
}

char *plug_make(void)
{
    return strdup("from the plug-in");
}

const char *whose(void)
{
    return "the plug-in's";
}

const char *plug_asks(void)
{
    return whose();
}
