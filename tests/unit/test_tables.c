/* One set of the segment's tables, in private memory and on files: layout, growth to the last
 * entry, what is counted, a tmpfs that is full. */
#include "base/os.h"
#include "core_test.h"
#include "segment/tables.h"
#include "tap.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

static bool readable(const void *addr)
{
    char byte;
    struct iovec to = {&byte, 1}, from = {(void *)(uintptr_t)addr, 1};
    return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == 1;
}

static const uint64_t entry_size[MD_SECTION_COUNT] = MD_SECTION_ENTRY_SIZES;

/* As a reader sees it: pages, in the file, apart. */
static void check_layout(const struct tables *t, const char *what)
{
    const struct md_section *s = t->header->section;
    uint64_t end = OS_PAGE;
    unsigned wrong = 0;
    for (int id = 0; id < MD_SECTION_COUNT; id++) {
        wrong += s[id].offset % OS_PAGE != 0 || s[id].offset < end || s[id].count != 0;
        wrong += s[id].entry_size != entry_size[id] || s[id].capacity != t->capacity[id];
        wrong += t->capacity[id] < 100;
        wrong += (char *)t->table[id] != (char *)t->header + s[id].offset;
        end = s[id].offset + s[id].capacity * s[id].entry_size;
    }
    /* Each begins at a page. */
    uint64_t used = end + (uint64_t)MD_SECTION_COUNT * OS_PAGE;
    ok(wrong == 0 && end <= t->size && t->header->file_size == t->size && used > t->size / 10 * 9,
       "%s: sections at pages, apart, within the size, which is put to use", what);
}

/* Grows each section in steps to its end, writing every entry. */
static void check_growth(struct tables *t, const char *what, unsigned divisor)
{
    unsigned wrong = 0;
    for (int i = 0; i < MD_SECTION_COUNT; i++) {
        enum md_section_id id = (enum md_section_id)i;
        uint64_t last = t->capacity[id] / (id >= MD_SECTION_STACKS ? divisor : 1);
        for (uint64_t count = 1; count < last; count += 1 + count / 3) {
            errno = 77;
            wrong += !tables_grow(t, id, count) || t->grown[id] < count || errno != 77;
            wrong += t->grown[id] > t->capacity[id];
            char *entry = (char *)t->table[id] + (count - 1) * entry_size[id];
            wrong += entry[0] != 0 || entry[entry_size[id] - 1] != 0;
            memset(entry, 0xee, entry_size[id]);
        }
        wrong += !tables_grow(t, id, last);
        memset((char *)t->table[id] + (last - 1) * entry_size[id], 0xee, entry_size[id]);
        wrong += tables_grow(t, id, t->capacity[id] + 1) || tables_grow(t, id, UINT64_MAX);
        wrong += !tables_grow(t, id, 0);
    }
    is(wrong, 0, "%s: entries are there, zero, up to the capacity and no further", what);
}

static unsigned records(void)
{
    return own_ranges(NULL, 0);
}

static void test_private(size_t size)
{
    struct tables t;
    uint64_t before = own_bytes();
    unsigned at_start = records();
    char what[64];
    snprintf(what, sizeof what, "private, %zu KiB", size >> 10);
    if (!ok(tables_create_private(&t, size) && !t.file && t.size == size, "%s", what))
        return;
    is(own_bytes() - before, OS_PAGE, "%s: costs a page until it grows", what);
    is(records() - at_start, 1, "%s: on record", what);
    ok(!readable(t.table[MD_SECTION_SAMPLES]), "%s: the rest is shut", what);
    check_layout(&t, what);
    check_growth(&t, what, size >> 26 ? 64 : 1);
    uint64_t used = own_bytes() - before;
    ok(used > OS_PAGE && used <= size, "%s: what it grew to is counted", what);
    struct md_header *header = t.header;
    strcpy(header->name, "kept");
    ((struct md_bucket *)t.table[MD_SECTION_BUCKETS])[1].key = 5;
    tables_release(&t);
    ok(strcmp(header->name, "kept") == 0 &&
           ((struct md_bucket *)t.table[MD_SECTION_BUCKETS])[1].key == 0,
       "%s: released it reads 0 but for the header", what);
    is(own_bytes() - before, OS_PAGE, "%s: and counts for a page", what);
    tables_destroy(&t);
    ok(!t.header && !readable(header), "%s: destroyed it is gone", what);
    is(own_bytes(), before, "%s: and not counted", what);
    is(records(), at_start, "%s: off the record", what);
    tables_destroy(&t); /* none: no harm */
}

static void test_file(void)
{
    struct tables t;
    struct stat st;
    uint64_t before = own_bytes();
    size_t size = MAX(1u << 20, TABLES_MIN);
    int fd = memfd_create("test_tables", MFD_CLOEXEC);
    if (!ok(fd >= 0 && tables_create_file(&t, fd, size) && t.file, "on a file"))
        return;
    ok(fstat(fd, &st) == 0 && st.st_size == (off_t)size, "which has its size");
    ok(st.st_blocks * 512 <= (blkcnt_t)(2 * OS_PAGE), "and costs a page");
    check_layout(&t, "file");
    check_growth(&t, "file", 1);
    uint64_t used = own_bytes() - before;
    fstat(fd, &st);
    if (!tap_emulated("its pages are there", "MADV_POPULATE_WRITE"))
        ok((uint64_t)st.st_blocks * 512 >= used && used > size / 10 * 9,
           "its pages are there: %llu of %llu", (unsigned long long)st.st_blocks * 512,
           (unsigned long long)used);
    struct md_bucket bucket;
    ok(pread(fd, &bucket, sizeof bucket, (off_t)t.header->section[MD_SECTION_BUCKETS].offset) ==
               sizeof bucket &&
           bucket.key == UINT64_C(0xeeeeeeeeeeeeeeee),
       "what is written is in the file");
    tables_release(&t);
    is(((struct md_bucket *)t.table[MD_SECTION_BUCKETS])->key, bucket.key,
       "a file is not released");
    tables_destroy(&t);
    is(own_bytes(), before, "destroyed it is not counted");
    close(fd);
    int reader = open("/dev/null", O_RDONLY);
    ok(!tables_create_file(&t, reader, size) && !t.header && own_bytes() == before,
       "a file that cannot be sized is refused");
    close(reader);
}

/* On a tmpfs with room for some of it. */
static int full_tmpfs(void *argument)
{
    struct tables t;
    (void)argument;
    if (!private_tmpfs("/tmp", "size=256k"))
        return CANNOT_MOUNT;
    int fd = open("/tmp/file", O_RDWR | O_CREAT, 0600);
    uint64_t before = own_bytes();
    if (fd < 0 || !tables_create_file(&t, fd, 4 << 20))
        return 1;
    uint64_t count = 0;
    while (tables_grow(&t, MD_SECTION_SAMPLES, count + 1)) {
        memset((struct md_sample *)t.table[MD_SECTION_SAMPLES] + count, 0xee,
               sizeof(struct md_sample));
        if (++count * sizeof(struct md_sample) > 256 << 10)
            return 2;
    }
    if (count < 1000 || count > t.grown[MD_SECTION_SAMPLES] || own_bytes() - before > 256 << 10)
        return 3;
    /* What was there before is still good. */
    struct md_sample *samples = t.table[MD_SECTION_SAMPLES];
    if (samples[count - 1].addr != UINT64_C(0xeeeeeeeeeeeeeeee))
        return 4;
    tables_destroy(&t);
    if (own_bytes() != before)
        return 5;
    /* Not even a page. */
    int filler = open("/tmp/filler", O_RDWR | O_CREAT, 0600);
    char page[4096] = "x";
    while (write(filler, page, sizeof page) > 0)
        ;
    fd = open("/tmp/other", O_RDWR | O_CREAT, 0600);
    if (fd >= 0 && tables_create_file(&t, fd, 4 << 20))
        return 6;
    return t.header || own_bytes() != before ? 7 : 0;
}

int main(void)
{
    test_private(TABLES_MIN);
    test_private(4 << 20);
    test_private(512 << 20);
    test_file();
    if (tap_emulated("a full tmpfs", "MADV_POPULATE_WRITE"))
        return tap_done();
    int result = in_copy(full_tmpfs, NULL);
    if (result == CANNOT_MOUNT)
        tap_skip("a full tmpfs", "not allowed to mount one");
    else
        is(result, 0, "a tmpfs that is full is an answer, no signal");
    return tap_done();
}
