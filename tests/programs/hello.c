/* Allocates 4 MB in small blocks, prints one line.  Built static as well, to see that it is left
 * alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
    long sum = 0;
    for (int i = 0; i < 20000; i++) {
        char *p = malloc(200);
        memset(p, i, 200);
        sum += p[100];
        free(p);
    }
    printf("sum %ld\n", sum);
    return 0;
}
