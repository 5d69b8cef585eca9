#include "save.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int save_write(int fd, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size > 0) {
        ssize_t n = write(fd, at, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

int save_file(const char *path, const void *bytes, size_t size, char error[VIEW_ERROR_SIZE])
{
    char temporary[PATH_MAX];
    struct stat st;
    int result = 0;
    bool special = stat(path, &st) == 0 && !S_ISREG(st.st_mode); /* /dev/stdout, a FIFO */
    if (special)
        snprintf(temporary, sizeof temporary, "%s", path);
    else if (snprintf(temporary, sizeof temporary, "%s.XXXXXX", path) >= (int)sizeof temporary)
        result = ENAMETOOLONG;
    int fd = -1;
    if (result == 0) {
        fd = special ? open(path, O_WRONLY | O_CLOEXEC) : mkostemp(temporary, O_CLOEXEC); /* 0600 */
        result = fd < 0 ? errno : save_write(fd, bytes, size);
        if (fd >= 0 && close(fd) != 0 && result == 0)
            result = errno;
    }
    if (result == 0 && !special && rename(temporary, path) != 0)
        result = errno;
    if (result != 0) {
        if (fd >= 0 && !special)
            unlink(temporary);
        snprintf(error, VIEW_ERROR_SIZE, "%.160s: %s", path, strerror(result));
    }
    return result;
}

struct symbolizer *save_symbolizer(const struct source *source, bool full)
{
    char root[SOURCE_ROOT_SIZE];
    struct symbolizer_options how = source_symbols(source, root);
    how.full_names = full;
    return symbolizer_create(&how);
}

int save_build(const struct source *source, enum md_bucket_kind kind, const char *type,
               struct profile *profile, char error[VIEW_ERROR_SIZE])
{
    struct symbolizer *symbolizer = save_symbolizer(source, false);
    if (!symbolizer) {
        snprintf(error, VIEW_ERROR_SIZE, "out of memory");
        return ENOMEM;
    }
    struct profile_options options = {
        .kind = kind, .symbolizer = symbolizer, .default_sample_type = type};
    int result = profile_from_snapshot(profile, &source->snapshot, &options, error);
    symbolizer_destroy(symbolizer);
    return result;
}

int save_profile(const struct source *source, enum md_bucket_kind kind, const char *path, int fd,
                 const char *type, char error[VIEW_ERROR_SIZE])
{
    struct profile profile;
    int result = save_build(source, kind, type, &profile, error);
    if (result)
        return result;
    uint8_t *bytes = NULL;
    size_t size;
    result = pprof_encode(&profile, &bytes, &size, error);
    profile_fini(&profile);
    if (result)
        return result;
    if (path) {
        result = save_file(path, bytes, size, error);
    } else {
        result = save_write(fd, bytes, size);
        if (result)
            snprintf(error, VIEW_ERROR_SIZE, "writing the profile: %s", strerror(result));
    }
    free(bytes);
    return result;
}
