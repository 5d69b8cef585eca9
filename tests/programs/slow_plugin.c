/* A library whose constructor exits, or with SLOW_TELL=FD says that it has begun, by a byte there,
 * and waits for one on stdin or for its end. */
#include <stdlib.h>
#include <unistd.h>

static __attribute__((constructor)) void begin(void)
{
    const char *fd = getenv("SLOW_TELL");
    char byte;
    if (!fd)
        exit(7);
    if (write(atoi(fd), "x", 1) != 1 || read(0, &byte, 1) < 0)
        abort();
}
