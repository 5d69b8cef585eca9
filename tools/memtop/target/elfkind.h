/* What kind of executable a file is, as far as preloading goes: will the dynamic loader take a
 * library, and will the program then use its malloc?  Reads the file with libelf. */
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
    bool is_setuid;     /* runs with others' rights: the loader drops LD_PRELOAD */
    char privilege[32]; /* "setuid", "setgid", "file capabilities" */
    bool own_malloc;    /* defines malloc itself */
};

/* 0 or an errno value; ENOEXEC: not an ELF executable.  `runner` is the real user who runs it: a
 * setuid program that is his own gains nothing and takes LD_PRELOAD. */
int elf_kind_read(struct elf_kind *kind, const char *path, uid_t runner);

/* What keeps the library out or idle, in words; false if nothing does. */
bool elf_kind_obstacle(const struct elf_kind *kind, char *reason, size_t size);
/* The same, but only what keeps the library from being loaded at all. */
bool elf_kind_refuses(const struct elf_kind *kind, char *reason, size_t size);

#endif
