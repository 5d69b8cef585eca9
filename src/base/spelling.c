#include "base/spelling.h"

#include "base/compiler.h"

#include <string.h>

unsigned spelling_distance(const char *a, const char *b)
{
    unsigned row[SPELLING_MAX + 1];
    size_t m = strnlen(a, SPELLING_MAX), n = strnlen(b, SPELLING_MAX);
    for (size_t j = 0; j <= n; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= m; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= n; j++) {
            unsigned replace = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = MIN(replace, MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[n];
}
