#include "target/bus_error.h"
#include "cmd/cli.h"
#include "series/names.h"

#include <unistd.h>

int main(int argc, char **argv)
{
    bus_error_survive();
    int status = cli_main(argc, argv);
    if (cli_flush() == EXIT_FAILED && status == EXIT_DONE)
        status = EXIT_FAILED;
    if (names_running() > 0) /* a thread that still reads DWARF must not meet exit's destructors */
        _exit(status);
    return status;
}
