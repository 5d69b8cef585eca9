/* A library that opens others: by its own RUNPATH and $ORIGIN, not by its program's. */
#include <dlfcn.h>

void *opener_open(const char *file, int flags);

void *opener_open(const char *file, int flags)
{
    void *opened = dlopen(file, flags);
    __asm__ volatile("" : "+r"(opened)); /* no tail call, which would make the program the caller */
    return opened;
}
