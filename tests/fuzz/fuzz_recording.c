/* Any bytes as a recording, plain as zlib's reader takes them too: each tick's processes must make
 * segments that can be read or refused. */
#include "replay.h"

#include "series/recording.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct recording r;
    char error[VIEW_ERROR_SIZE];
    uint64_t *segment = NULL;
    size_t room = 0;
    int fd = memfd_create("recording", MFD_CLOEXEC);
    if (fd < 0 || write(fd, bytes, size) != (ssize_t)size || lseek(fd, 0, SEEK_SET) != 0)
        abort();
    if (recording_open(&r, fd, "fuzz", error) == 0)
        while (recording_next(&r))
            for (size_t i = 0; i < r.count && i < 4; i++) {
                struct snapshot s;
                size_t length = recording_segment(&r.process[i], &segment, &room);
                if (length &&
                    snapshot_take(&s, segment, length, SNAPSHOT_ALL | SNAPSHOT_LEAKS, NULL) == 0)
                    snapshot_fini(&s);
            }
    recording_close(&r);
    free(segment);
    return 0;
}

uint8_t *fuzz_seed(unsigned index, size_t *size)
{
    /* A process, a tick, a state, and a section of three words of which one has changed. */
    static const uint8_t seed[] = RECORDING_MAGIC "\1\6\0\x7b\0\5ab"
                                                  "\2\2\x02\x02"
                                                  "\3\4\0\0\3\x41"
                                                  "\4\5\0\3\3\1\x08"
                                                  "\2\2\x02\x02";
    static const struct md_header header = {.magic = MD_SEGMENT_MAGIC,
                                            .version = MD_SEGMENT_VERSION,
                                            .header_size = sizeof header,
                                            .section_count = MD_SECTION_COUNT,
                                            .name = "fuzz"};
    if (index == 0) {
        *size = sizeof seed - 1;
        uint8_t *copy = malloc(*size);
        return copy ? memcpy(copy, seed, *size) : NULL;
    }
    if (index > 1)
        return NULL;
    static const uint64_t stack_words[] = {1, 2, 3};
    struct md_cycle cycle = {.number = 1};
    struct md_bucket bucket = {.kind = MD_BUCKET_HEAP};
    struct snapshot snapshot = {.header = header,
                                .cycles = &cycle,
                                .cycle_count = 1,
                                .stack_words = (uint64_t *)(uintptr_t)stack_words,
                                .stack_word_count = 3,
                                .buckets = &bucket,
                                .bucket_count = 1};
    struct recording_reading reading = {.snapshot = &snapshot, .sites = true};
    struct recorder recorder;
    recorder_init(&recorder, NULL);
    size_t number = recorder_add(&recorder, 1, 2, 3, "fuzz");
    recorder_tick(&recorder, 1, 1);
    recorder_read(&recorder, number, &reading);
    recorder_tick(&recorder, 2, 2);
    *size = sizeof RECORDING_MAGIC - 1 + recorder.size;
    uint8_t *bytes = malloc(*size);
    if (bytes) {
        memcpy(bytes, RECORDING_MAGIC, sizeof RECORDING_MAGIC - 1);
        memcpy(bytes + sizeof RECORDING_MAGIC - 1, recorder.bytes, recorder.size);
    }
    recorder_fini(&recorder);
    return bytes;
}
