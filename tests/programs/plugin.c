/* A library that roots.c opens at run time: its data and its TLS hold the only pointers. */
void *plugin_data = (void *)0x10;
void *plugin_zero[16];
__thread void *plugin_tls;

void plugin_set_tls(void *p)
{
    plugin_tls = p;
}

/* victim.c opens and closes this library again and again; a profile must still name the function.
 */
__attribute__((noinline)) void *plugin_allocate(unsigned long size,
                                                void *(*allocate)(unsigned long))
{
    void *p = allocate(size);
    __asm__ volatile("" : "+r"(p));
    return p;
}

/* Tables for unwinding of several pages. */
__asm__(".text\n"
        ".rept 1000\n"
        ".cfi_startproc\n"
        "nop\n"
        ".cfi_endproc\n"
        ".endr\n");
