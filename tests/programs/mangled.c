/* Loses a block in functions that are called as rustc calls its own, in both its forms. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((noinline)) void
as_v0(void) __asm__("_RINvNtC7mycrate5cache5storeINtNtB4_3map3MaphEE");
__attribute__((noinline)) void as_legacy(void) __asm__(
    "_ZN56_$LT$mycrate..Cache$u20$as$u20$core..ops..drop..Drop$GT$4drop17h05af221e174051e9E");

static char *volatile last;

__attribute__((noinline)) static void lose(void)
{
    last = malloc(100);
    memset(last, 1, 100);
    last = NULL;
}

void as_v0(void)
{
    for (int i = 0; i < 10; i++)
        lose();
    __asm__ volatile("");
}

void as_legacy(void)
{
    for (int i = 0; i < 10; i++)
        lose();
    __asm__ volatile("");
}

int main(void)
{
    as_v0();
    as_legacy();
    return 0;
}
