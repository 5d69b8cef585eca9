/* Allocates up to what counts as start-up and beyond, and says what is resident of each library's
 * read-only pages at each point.
 *
 *   startup [early|late]    one byte of the code of the library named libmemdebug is written first,
 *                           or half-way, as a debugger does; at the end it must still be there
 *
 * "PHASE NAME KB" for each library, "pages lost: N" of those mapped meanwhile, "byte kept" or
 * "byte lost". */
#include <dlfcn.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void say(const char *phase)
{
    char line[1024], name[512] = "";
    static char all[1 << 16];
    static FILE *out;
    size_t at = 0;
    FILE *smaps = fopen("/proc/self/smaps", "r");
    out = out ? out : stdout;
    while (smaps && fgets(line, sizeof line, smaps)) {
        char access[8];
        unsigned long kb;
        if (sscanf(line, "%*x-%*x %7s %*s %*s %*s %500s", access, name) >= 1 &&
            strlen(access) == 4) {
            if (!strchr(line, '/') || strchr(access, 'w'))
                *name = 0;
        } else if (sscanf(line, "Rss: %lu", &kb) == 1 && *name) {
            at += (size_t)snprintf(all + at, sizeof all - at, "%s %s %lu\n", phase,
                                   strrchr(name, '/') + 1, kb);
        }
    }
    if (smaps)
        fclose(smaps);
    fputs(all, out);
}

static int find_code(struct dl_phdr_info *info, size_t size, void *ctx)
{
    (void)size;
    if (!strstr(info->dlpi_name, "libmemdebug"))
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD && info->dlpi_phdr[i].p_flags & PF_X)
            *(uintptr_t *)ctx = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
    return 1;
}

static void allocate(size_t bytes)
{
    for (size_t done = 0; done < bytes; done += 1000) {
        char *volatile block = malloc(1000);
        free(block);
    }
}

/* Pages that fill whatever holes there are between and within what is mapped. */
static unsigned char *holes[300];

static void fill_holes(void)
{
    for (size_t i = 0; i < 300; i++) {
        holes[i] = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (holes[i] == MAP_FAILED)
            exit(3);
        memset(holes[i], (int)(1 + i % 255), 4096);
    }
}

static size_t lost_holes(void)
{
    size_t lost = 0;
    for (size_t i = 0; i < 300; i++)
        lost += *holes[i] != 1 + i % 255;
    return lost;
}

static volatile unsigned char *byte;
static unsigned char written;

/* Behind .init, which comes first, there is padding up to the next function. */
static void write_byte(void)
{
    uintptr_t code = 0;
    dl_iterate_phdr(find_code, &code);
    if (!code || mprotect((void *)code, 4096, PROT_READ | PROT_WRITE | PROT_EXEC) != 0)
        exit(2);
    byte = (void *)(code + 0x1f);
    *byte = written = (unsigned char)~*byte;
}

int main(int argc, char **argv)
{
    const char *when = argc > 1 ? argv[1] : "";
    if (strcmp(when, "early") == 0)
        write_byte();
    allocate(20u << 20);
    say("before");
    fill_holes();
    if (strcmp(when, "late") == 0)
        write_byte();
    allocate(20u << 20);
    say("after");
    printf("pages lost: %zu\n", lost_holes());
    if (byte)
        printf("byte %s\n", *byte == written ? "kept" : "lost");
    return 0;
}
