/* Allocates up to what counts as start-up and beyond, and says what is resident of each library's
 * read-only pages at each point.
 *
 *   startup [early|late]    one byte of the code of the library named libmemdebug is written first,
 *                           or half-way, as a debugger does; at the end it must still be there
 *   startup gone PLUGIN     a library allocates, is unloaded half-way, and pages of a file of the
 *                           program's come to lie where it had its tables for unwinding
 *
 * "PHASE NAME KB" for each library, "pages lost: N" of those mapped meanwhile, "byte kept" or
 * "byte lost", "pages in place: N of M" of that file. */
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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

/* ---- a library that goes ---- */

static uintptr_t place, place_end; /* whole pages of its tables */

static int find_tables(struct dl_phdr_info *info, size_t size, void *name)
{
    uintptr_t tables = 0;
    (void)size;
    if (!strstr(info->dlpi_name, name))
        return 0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < info->dlpi_phnum; i++) {
            const ElfW(Phdr) *p = &info->dlpi_phdr[i];
            uintptr_t start = info->dlpi_addr + p->p_vaddr;
            if (p->p_type == PT_GNU_EH_FRAME)
                tables = start;
            else if (p->p_type == PT_LOAD && tables - start < p->p_memsz)
                place_end = (start + p->p_memsz) & ~(uintptr_t)4095;
        }
    place = (tables + 4095) & ~(uintptr_t)4095;
    return 1;
}

static void use_plugin(const char *path)
{
    void *plugin = dlopen(path, RTLD_NOW);
    void *(*allocate_in)(unsigned long, void *(*)(unsigned long)) = NULL;
    if (plugin)
        *(void **)&allocate_in = dlsym(plugin, "plugin_allocate");
    dl_iterate_phdr(find_tables, (void *)(uintptr_t)path);
    if (!allocate_in || place >= place_end)
        exit(4);
    for (int i = 0; i < 10000; i++)
        free(allocate_in(1000, malloc));
    dlclose(plugin);
}

static void take_place(const char *path)
{
    int fd = open(path, O_RDONLY);
    size_t size = place_end - place;
    if (mmap((void *)place, size, PROT_READ, MAP_PRIVATE | MAP_FIXED_NOREPLACE | MAP_POPULATE, fd,
             0) != (void *)place)
        exit(5);
    for (size_t at = 0; at < size; at += 4096)
        (void)*(volatile unsigned char *)(place + at);
    close(fd);
}

static void say_in_place(void)
{
    uint64_t entry = 0;
    int fd = open("/proc/self/pagemap", O_RDONLY), in_place = 0, pages = 0;
    for (uintptr_t page = place; page < place_end; page += 4096, pages++)
        in_place +=
            pread(fd, &entry, sizeof entry, (off_t)(page / 4096 * sizeof entry)) == sizeof entry &&
            entry >> 63;
    close(fd);
    printf("pages in place: %d of %d\n", in_place, pages);
}

int main(int argc, char **argv)
{
    const char *when = argc > 1 ? argv[1] : "";
    if (strcmp(when, "gone") == 0 && argc > 2) {
        use_plugin(argv[2]);
        take_place(argv[2]);
        allocate(40u << 20);
        say_in_place();
        return 0;
    }
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
