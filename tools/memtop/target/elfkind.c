#include "elfkind.h"

#include "base/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static void read_interpreter(struct elf_kind *kind, Elf *elf)
{
    size_t count = 0;
    elf_getphdrnum(elf, &count);
    kind->is_static = true;
    for (size_t i = 0; i < count; i++) {
        GElf_Phdr header;
        if (!gelf_getphdr(elf, (int)i, &header) || header.p_type != PT_INTERP)
            continue;
        kind->is_static = false;
        Elf_Data *data =
            elf_getdata_rawchunk(elf, (int64_t)header.p_offset, header.p_filesz, ELF_T_BYTE);
        if (data && memmem(data->d_buf, data->d_size, "ld-musl", 7))
            kind->is_musl = true;
    }
}

/* Whether the table defines a malloc that is not local.  A local one may be anything, as its name
 * means nothing to the linker. */
static bool defines_malloc(Elf *elf, Elf_Scn *section, const GElf_Shdr *header)
{
    Elf_Data *data = elf_getdata(section, NULL);
    if (!data || header->sh_entsize == 0)
        return false;
    size_t count = header->sh_size / header->sh_entsize;
    for (size_t i = 0; i < count; i++) {
        GElf_Sym symbol;
        if (!gelf_getsym(data, (int)i, &symbol))
            break;
        if (symbol.st_shndx == SHN_UNDEF || GELF_ST_TYPE(symbol.st_info) != STT_FUNC ||
            GELF_ST_BIND(symbol.st_info) == STB_LOCAL)
            continue;
        const char *name = elf_strptr(elf, header->sh_link, symbol.st_name);
        if (name && strcmp(name, "malloc") == 0)
            return true;
    }
    return false;
}

static void read_sections(struct elf_kind *kind, Elf *elf)
{
    size_t names;
    if (elf_getshdrstrndx(elf, &names) != 0)
        return;
    for (Elf_Scn *section = NULL; (section = elf_nextscn(elf, section));) {
        GElf_Shdr header;
        if (!gelf_getshdr(section, &header))
            continue;
        const char *name = elf_strptr(elf, names, header.sh_name);
        if (name && (strcmp(name, ".note.go.buildid") == 0 || strcmp(name, ".go.buildinfo") == 0))
            kind->is_go = true;
        if ((header.sh_type == SHT_DYNSYM || header.sh_type == SHT_SYMTAB) && !kind->own_malloc)
            kind->own_malloc = defines_malloc(elf, section, &header);
    }
}

static void read_privilege(struct elf_kind *kind, int fd, const struct stat *st, uid_t runner)
{
    const char *what = "";
    if ((st->st_mode & S_ISUID) && st->st_uid != runner)
        what = "setuid";
    else if ((st->st_mode & S_ISGID) && (st->st_mode & S_IXGRP) && runner != 0)
        what = "setgid";
    else if (runner != 0 && fgetxattr(fd, "security.capability", NULL, 0) > 0)
        what = "file capabilities";
    kind->is_setuid = what[0] != '\0';
    snprintf(kind->privilege, sizeof kind->privilege, "%s", what);
}

int elf_kind_read(struct elf_kind *kind, const char *path, uid_t runner)
{
    *kind = (struct elf_kind){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno;
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return ENOEXEC;
    }
    read_privilege(kind, fd, &st, runner);
    elf_version(EV_CURRENT);
    Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
    int result = 0;
    GElf_Ehdr header;
    if (!elf || elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &header)) {
        result = ENOEXEC;
    } else {
        kind->foreign = header.e_machine != MACHINE_ELF || gelf_getclass(elf) != ELFCLASS64;
        read_interpreter(kind, elf);
        read_sections(kind, elf);
    }
    elf_end(elf);
    close(fd);
    return result;
}

bool elf_kind_refuses(const struct elf_kind *kind, char *reason, size_t size)
{
    if (kind->foreign)
        snprintf(reason, size, "not a program of this machine (" MACHINE_NAME ")");
    else if (kind->is_setuid)
        snprintf(reason, size, "%s: the loader drops LD_PRELOAD", kind->privilege);
    else if (kind->is_static && kind->is_go)
        snprintf(reason, size, "Go, static: GODEBUG=gctrace=1 and memtop tail show it");
    else if (kind->is_static)
        snprintf(reason, size, "static: no loader that could preload");
    else if (kind->is_musl)
        snprintf(reason, size, "musl: libmemdebug needs glibc");
    else
        return false;
    return true;
}

bool elf_kind_obstacle(const struct elf_kind *kind, char *reason, size_t size)
{
    if (elf_kind_refuses(kind, reason, size))
        return true;
    if (kind->is_go)
        snprintf(reason, size,
                 "Go: its heap is its own; GODEBUG=gctrace=1 and memtop tail show it");
    else if (kind->own_malloc)
        snprintf(reason, size, "own malloc in the executable");
    else
        return false;
    return true;
}
