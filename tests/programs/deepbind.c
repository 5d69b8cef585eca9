/* Opens libraries in every way in which the flags of dlopen and the address it is called from
 * matter, and prints what it got: deepbind ACTION [ARGUMENT...] */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__asm__(".symver dlopen_old, dlopen@GLIBC_2.2.5");
void *dlopen_old(const char *file, int flags);

/* The plug-in has a function of this name too. */
const char *whose(void);
const char *whose(void)
{
    return "the program's";
}

static void *function(void *library, const char *name)
{
    void *found = library ? dlsym(library, name) : NULL;
    if (!found) {
        printf("%s\n", dlerror());
        exit(1);
    }
    return found;
}

/* A block from each side is freed on the other. */
static void exchange(void *plug)
{
    void (*eat)(void *);
    char *(*make)(void);
    *(void **)&eat = function(plug, "plug_eat");
    *(void **)&make = function(plug, "plug_make");
    for (int i = 0; i < 100; i++) {
        char *made = make();
        eat(strdup("from the program"));
        if (i == 0)
            puts(made);
        free(made);
    }
}

/* All inside the other namespace, which has a libc of its own. */
static void in_namespace(const char *file)
{
    void *plug = dlmopen(LM_ID_NEWLM, file, RTLD_NOW | RTLD_DEEPBIND);
    void (*eat)(void *);
    char *(*make)(void);
    Lmid_t where = LM_ID_BASE;
    *(void **)&eat = function(plug, "plug_eat");
    *(void **)&make = function(plug, "plug_make");
    eat(make());
    dlinfo(plug, RTLD_DI_LMID, &where);
    printf("in a namespace of its own: %d, own malloc: %d\n", where != LM_ID_BASE,
           dlsym(plug, "malloc") != dlsym(RTLD_DEFAULT, "malloc"));
}

/* `opener` opens `file` by its own RUNPATH. */
static void by_opener(const char *opener, const char *file, int flags)
{
    void *(*open)(const char *, int);
    const char *(*ask)(void);
    *(void **)&open = function(dlopen(opener, RTLD_NOW), "opener_open");
    *(void **)&ask = function(open(file, flags), "plug_asks");
    puts("opened");
    (void)ask;
}

int main(int argc, char **argv)
{
    const char *action = argv[1], *file = argc > 2 ? argv[2] : NULL;
    if (!strcmp(action, "exchange")) {
        exchange(dlopen(file, RTLD_NOW | RTLD_DEEPBIND));
    } else if (!strcmp(action, "exchange-old")) {
        exchange(dlopen_old(file, RTLD_LAZY | RTLD_GLOBAL | RTLD_DEEPBIND));
    } else if (!strcmp(action, "exchange-base")) {
        exchange(dlmopen(LM_ID_BASE, file, RTLD_NOW | RTLD_DEEPBIND));
    } else if (!strcmp(action, "names")) {
        const char *(*ask)(void);
        *(void **)&ask = function(dlopen(file, RTLD_NOW | RTLD_DEEPBIND), "plug_asks");
        puts(ask());
    } else if (!strcmp(action, "opener")) {
        by_opener(file, argv[3], RTLD_NOW);
    } else if (!strcmp(action, "opener-deep")) {
        by_opener(file, argv[3], RTLD_NOW | RTLD_DEEPBIND);
    } else if (!strcmp(action, "direct")) {
        function(dlopen(file, RTLD_NOW), "plug_asks");
    } else if (!strcmp(action, "namespace")) {
        in_namespace(file);
    } else if (!strcmp(action, "null")) {
        printf("%d\n", function(dlopen(NULL, RTLD_NOW | RTLD_DEEPBIND), "whose") == (void *)whose);
    }
    return 0;
}
