#include "gc/roots/own_module.h"

#include "base/compiler.h"

#include <link.h>
#include <stdbool.h>

struct own_module own_module;

static int note(struct dl_phdr_info *info, size_t size, void *ctx)
{
    unsigned *seen = ctx;
    (void)size;
    bool is_program = (*seen)++ == 0; /* the program comes first */
    bool is_ours = false;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + segment->p_vaddr;
        is_ours |= segment->p_type == PT_LOAD && (uintptr_t)note - start < segment->p_memsz;
    }
    if (!is_ours || is_program)
        return is_ours;
    for (unsigned i = 0;
         i < info->dlpi_phnum && own_module.count < ARRAY_LENGTH(own_module.writable); i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + segment->p_vaddr;
        uintptr_t thread = (uintptr_t)__builtin_thread_pointer();
        if (segment->p_type == PT_TLS && (uintptr_t)info->dlpi_tls_data - 1 < thread) {
            own_module.tls_start = thread - (uintptr_t)info->dlpi_tls_data;
            own_module.tls_end = own_module.tls_start - segment->p_memsz;
        }
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_W))
            own_module.writable[own_module.count++] = (struct extent){
                start & ~(uintptr_t)4095, (start + segment->p_memsz + 4095) & ~(uintptr_t)4095};
    }
    return 1;
}

void own_module_find(void)
{
    unsigned seen = 0;
    own_module = (struct own_module){.count = 0};
    dl_iterate_phdr(note, &seen);
}
