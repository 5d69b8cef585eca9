/* Plays seeds and corpus, each also damaged in some thousand ways, through a fuzz harness.
 *
 *   replay_NAME [FILE|DIRECTORY…]     plays these too
 *   replay_NAME --seeds DIRECTORY     only writes its seeds there, for libFuzzer to begin with
 */
#include "replay.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static uint64_t state = 88172645463325252u;
static unsigned played;

static uint64_t draw(uint64_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return below ? state % below : 0;
}

/* Exactly as long as it is, so that a sanitizer sees a byte too far. */
static void play(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        abort();
    memcpy(copy, bytes, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    played++;
}

static void play_damaged(const uint8_t *bytes, size_t size, unsigned rounds)
{
    play(bytes, size);
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        abort();
    for (unsigned i = 0; i < rounds; i++) {
        memcpy(copy, bytes, size);
        for (uint64_t k = draw(6) + 1; k > 0 && size; k--) {
            static const uint8_t edges[] = {0, 1, 0x7f, 0x80, 0xff};
            size_t at = draw(draw(2) ? size : size < 512 ? size : 512);
            copy[at] = draw(2) ? edges[draw(sizeof edges)] : (uint8_t)draw(256);
        }
        play(copy, draw(4) ? size : draw(size + 1));
    }
    free(copy);
}

static void play_path(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        perror(path);
        exit(1);
    }
    if (S_ISDIR(st.st_mode)) {
        DIR *folder = opendir(path);
        for (struct dirent *e; folder && (e = readdir(folder));) {
            char inner[PATH_MAX];
            snprintf(inner, sizeof inner, "%s/%s", path, e->d_name);
            if (e->d_name[0] != '.')
                play_path(inner);
        }
        if (folder)
            closedir(folder);
        return;
    }
    FILE *f = fopen(path, "rb");
    uint8_t *bytes = malloc((size_t)st.st_size + 1);
    if (!f || !bytes)
        exit(1);
    size_t size = fread(bytes, 1, (size_t)st.st_size, f);
    fclose(f);
    play_damaged(bytes, size, 500);
    free(bytes);
}

static int write_seeds(const char *directory)
{
    uint8_t *seed;
    size_t size;
    for (unsigned i = 0; (seed = fuzz_seed(i, &size)); i++) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/seed%u", directory, i);
        FILE *file = fopen(path, "we");
        if (!file || fwrite(seed, 1, size, file) != size || fclose(file) != 0)
            return perror(path), 1;
        free(seed);
    }
    return 0;
}

int main(int argc, char **argv)
{
    uint8_t *seed;
    size_t size;
    if (argc == 3 && strcmp(argv[1], "--seeds") == 0)
        return write_seeds(argv[2]);
    for (unsigned i = 0; (seed = fuzz_seed(i, &size)); i++) {
        play_damaged(seed, size, 3000);
        free(seed);
    }
    for (int i = 1; i < argc; i++)
        play_path(argv[i]);
    printf("1..1\nok 1 - %u inputs were taken or refused\n", played);
    return 0;
}
