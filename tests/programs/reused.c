/* Two libraries of one source, of the same size: one loaded where the other was has its code there,
 * under other names.  PLACE moves the call, so that no address is the same. */
#include <stddef.h>

#define NAME_OF(place) NAME(place)
#define NAME(place) allocate_in_##place

__attribute__((noinline)) void *NAME_OF(PLACE)(unsigned long size,
                                               void *(*allocate)(unsigned long));

__attribute__((noinline)) void *NAME_OF(PLACE)(unsigned long size, void *(*allocate)(unsigned long))
{
#if PLACE == 1
    __asm__ volatile("nop; nop; nop; nop; nop");
#endif
    void *p = allocate(size);
    __asm__ volatile("" : "+r"(p));
    return p;
}

void *plugin_allocate(unsigned long size, void *(*allocate)(unsigned long));

void *plugin_allocate(unsigned long size, void *(*allocate)(unsigned long))
{
    void *p = NAME_OF(PLACE)(size, allocate);
    __asm__ volatile("" : "+r"(p));
    return p;
}
