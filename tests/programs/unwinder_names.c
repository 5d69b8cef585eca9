/* A program that exports, under the names of libunwind's functions and data, some of its own, as
 * one does that has another libunwind linked statically.  None of them may be reached but by
 * itself. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define OWN(name)                                                                                  \
    void name(void);                                                                               \
    void name(void)                                                                                \
    {                                                                                              \
        static const char text[] = "the program's " #name " was called\n";                         \
        (void)!write(2, text, sizeof text - 1);                                                    \
        _exit(99);                                                                                 \
    }
OWN(_ULx86_64_apply_reg_state)
OWN(_ULx86_64_dwarf_find_unwind_table)
OWN(_ULx86_64_dwarf_search_unwind_table)
OWN(_ULx86_64_get_proc_info)
OWN(_ULx86_64_get_proc_info_by_ip)
OWN(_ULx86_64_get_reg)
OWN(_ULx86_64_init_local)
OWN(_ULx86_64_init_local2)
OWN(_ULx86_64_is_signal_frame)
OWN(_ULx86_64_resume)
OWN(_ULx86_64_set_reg)
OWN(_ULx86_64_step)
OWN(_U_dyn_info_list_addr)
OWN(_Ux86_64_flush_cache)
OWN(_Ux86_64_get_accessors)
OWN(_Ux86_64_get_elf_image)
OWN(_Ux86_64_get_exe_image_path)
OWN(_Ux86_64_getcontext)
OWN(_Ux86_64_is_fpreg)
OWN(_Ux86_64_regname)
OWN(_Ux86_64_setcontext)
OWN(unw_backtrace)
/* Not where libunwind keeps what it knows. */
extern void *_ULx86_64_local_addr_space;
void *_ULx86_64_local_addr_space = (void *)16;

__attribute__((noinline)) static void *allocate_here(int depth)
{
    void *p = depth ? allocate_here(depth - 1) : malloc(100);
    __asm__ volatile("" : "+r"(p));
    return p;
}

int main(void)
{
    void *p = NULL;
    for (int i = 0; i < 20000; i++) {
        p = allocate_here(i % 30);
        if (i != 19999)
            free(p);
    }
    printf("unharmed\n");
    return p == NULL;
}
