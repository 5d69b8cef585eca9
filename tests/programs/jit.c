/* Code made at run time, as a JIT compiler makes it: mapped, in no module, without unwind
 * information, but with frame pointers.
 *
 *   jit COUNT [map]   COUNT functions, each of which calls lose() and through it malloc(100) once;
 * the block is lost.  With `map` it writes /tmp/perf-PID.map, as perf wants it: "made_0", "made_1".
 * Ends at a line on stdin, without one at a signal. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define STEP 64 /* bytes between two functions */

static char *volatile last;

__attribute__((noinline)) static void lose(void)
{
    last = malloc(100);
    memset(last, 1, 100);
}

__attribute__((noinline)) static void call_all(const uint8_t *code, long count)
{
    for (long i = 0; i < count; i++) {
        void (*made)(void);
        const uint8_t *at = code + i * STEP;
        memcpy(&made, &at, sizeof made);
        made();
    }
    __asm__ volatile(""); /* no tail call */
}

/* push %rbp; mov %rsp,%rbp; call the inner one; pop %rbp; ret.  The inner one, behind it, calls
 * `target`: two frames of such code, one behind the other. */
static void make(uint8_t *at, const void *target)
{
    static const uint8_t outer[] = {0x55, 0x48, 0x89, 0xe5, 0xe8, 0x0b, 0, 0, 0, 0x5d, 0xc3};
    static const uint8_t inner[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0xb8};
    static const uint8_t rest[] = {0xff, 0xd0, 0x5d, 0xc3};
    memcpy(at, outer, sizeof outer);
    at += 20;
    memcpy(at, inner, sizeof inner);
    memcpy(at + sizeof inner, &target, sizeof target);
    memcpy(at + sizeof inner + sizeof target, rest, sizeof rest);
}

static void write_map(const uint8_t *code, long count)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/perf-%d.map", (int)getpid());
    FILE *map = fopen(path, "we");
    for (long i = 0; map && i < count; i++)
        fprintf(map, "%lx %x made_%ld of the map\n", (unsigned long)(uintptr_t)(code + i * STEP),
                STEP, i);
    if (!map || fclose(map) != 0)
        perror(path);
}

int main(int argc, char **argv)
{
    long count = argc > 1 ? atol(argv[1]) : 10;
    size_t size = (size_t)count * STEP;
    uint8_t *code = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (code == MAP_FAILED)
        return 1;
    void (*target)(void) = lose;
    const void *address;
    memcpy(&address, &target, sizeof address);
    for (long i = 0; i < count; i++)
        make(code + i * STEP, address);
    if (mprotect(code, size, PROT_READ | PROT_EXEC) != 0)
        return 1;
    if (argc > 2)
        write_map(code, count);
    call_all(code, count);
    last = malloc(1 << 20); /* from 512 KiB on a program can be looked at */
    free(last);
    last = NULL;
    puts("ready");
    fflush(stdout);
    if (getchar() == EOF)
        pause();
    return 0;
}
