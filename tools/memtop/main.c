#include "cli.h"
#include "names.h"

#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int status = cli_main(argc, argv);
    if (fflush(stdout) != 0 && status == EXIT_DONE)
        status = EXIT_FAILED;
    if (names_running() > 0) /* a thread that still reads DWARF must not meet exit's destructors */
        _exit(status);
    return status;
}
