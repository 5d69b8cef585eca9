/* What kind of executable a file is, as far as preloading goes: whether the dynamic loader takes a
 * library, and whether the program then uses its malloc.  Reads the file with libelf. */
#ifndef MEMTOP_ELFKIND_H
#define MEMTOP_ELFKIND_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct elf_kind {
    bool foreign;   /* not ELF of this machine */
    bool is_static; /* no dynamic loader */
    bool is_musl;
    bool is_go;
    bool is_setuid;     /* `privilege` is not "": the loader drops LD_PRELOAD */
    char privilege[32]; /* "setuid", "setgid", "file capabilities" */
    bool own_malloc;    /* has a malloc of its own, which goes before a preloaded one */
};

/* 0 or an errno value; ENOEXEC: not an ELF executable.  `runner` is the real user who runs it: the
 * loader takes LD_PRELOAD for a setuid program of that same user, which gains nothing. */
int elf_kind_read(struct elf_kind *kind, const char *path, uid_t runner);

/* What keeps the library from being loaded or used, in words; false if nothing does. */
bool elf_kind_obstacle(const struct elf_kind *kind, char *reason, size_t size);
/* The same, but only what keeps the library from being loaded at all. */
bool elf_kind_refuses(const struct elf_kind *kind, char *reason, size_t size);

#endif
