/* Counts the words of its input as the exercise of Go's profiling workshops does: one byte per
 * read, each into a buffer of its own.  A heap profile charges it to readbyte.
 *
 *   words FILE */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <fcntl.h>

__attribute__((noinline)) static int readbyte(int file)
{
    unsigned char *buffer = malloc(1);
    int c = -1;
    if (buffer != NULL && read(file, buffer, 1) == 1)
        c = *buffer;
    free(buffer);
    return c;
}

int main(int argc, char **argv)
{
    int file = argc > 1 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) {
        fprintf(stderr, "words: cannot open the file\n");
        return 1;
    }
    long words = 0;
    int inside = 0, c;
    while ((c = readbyte(file)) != -1) {
        if (isspace(c)) {
            inside = 0;
        } else if (!inside) {
            inside = 1;
            words++;
        }
    }
    printf("%ld words\n", words);
    return 0;
}
