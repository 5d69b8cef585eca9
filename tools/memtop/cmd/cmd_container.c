/* memtop container [KEY=VALUE…]: prints what puts memdebug into a container, to copy from.  The
 * lines follow the public documentation of Docker and Kubernetes; nothing is run. */
#include "cli.h"
#include "commands.h"
#include "preload/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where the .tar.gz, which runs in any place, is unpacked. */
#define PREFIX "/opt/memdebug"
#define LIBRARY PREFIX "/lib/libmemdebug.so.0"

/* How text is quoted: what stands around it, which characters get a backslash or are doubled. */
struct quoting {
    const char *around, *escaped, *doubled;
};

static const struct quoting dockerfile = {"\"", "\"\\$", ""}, /* $ would begin a variable */
    json = {"\"", "\"\\", "$"}; /* Kubernetes resolves $(VARIABLE), and takes $$ for $ */

static void put_quoted(const struct quoting *how, const char *text)
{
    fputs(how->around, stdout);
    for (; *text; text++) {
        if (strchr(how->escaped, *text))
            putchar('\\');
        if (strchr(how->doubled, *text))
            putchar(*text);
        putchar(*text);
    }
    fputs(how->around, stdout);
}

static void put_shell(const char *text)
{
    putchar('\'');
    for (; *text; text++)
        if (*text == '\'')
            fputs("'\\''", stdout);
        else
            putchar(*text);
    putchar('\'');
}

static void put_memdebug(const char *memdebug)
{
    if (memdebug[0] == '\0')
        return;
    printf("ENV MEMDEBUG=");
    put_quoted(&dockerfile, memdebug);
    printf("\n");
}

static void print_dockerfile(const char *memdebug)
{
    printf("# --- Dockerfile, of Debian or Ubuntu with glibc 2.36 or newer.  Last, so that it "
           "holds for what\n"
           "# --- the image runs and not for what builds it.\n"
           "COPY libmemdebug0_*.deb /tmp/\n"
           "RUN apt-get update && apt-get install -y --no-install-recommends "
           "/tmp/libmemdebug0_*.deb \\\n"
           "    && rm -rf /tmp/libmemdebug0_*.deb /var/lib/apt/lists/*\n"
           "ENV LD_PRELOAD=libmemdebug.so.0\n");
    put_memdebug(memdebug);
    printf("\n# --- Dockerfile, of any image with glibc 2.36 or newer and libgcc_s.so.1, though "
           "there be no more\n"
           "# --- in it than the program (distroless: cc, not base).  Beforehand, in the folder of "
           "the Dockerfile:\n"
           "# ---   mkdir memdebug && tar -xzf memdebug-*.tar.gz --strip-components=1 -C memdebug\n"
           "COPY memdebug/lib/ " PREFIX "/lib/\n"
           "ENV LD_PRELOAD=" LIBRARY "\n");
    put_memdebug(memdebug);
}

static void print_docker(const char *memdebug)
{
    printf(
        "\n# --- Dockerfile of MEMDEBUG_IMAGE below, for memtop where the host is not to be had\n"
        "FROM debian:12-slim\n"
        "COPY memdebug/ " PREFIX "/\n"
        "\n# --- docker: the root may be read-only.  The segment takes a sixteenth of what is free "
        "where\n"
        "# --- it lies, here 4 MB of 64; without the tmpfs it lies in /dev/shm (--shm-size).\n"
        "docker run --name app --read-only --tmpfs /run/memdebug:size=64m,mode=1777 \\\n"
        "    -e LD_PRELOAD=" LIBRARY " ");
    if (memdebug[0] != '\0') {
        printf("-e MEMDEBUG=");
        put_shell(memdebug);
        putchar(' ');
    }
    printf("IMAGE\n"
           "memtop ps              # on the host, as root: sees into every container\n"
           "docker run -it --rm --pid container:app --user UID MEMDEBUG_IMAGE " PREFIX
           "/bin/memtop\n"
           "                       # beside it, as the program's user; as root with --cap-add "
           "SYS_PTRACE\n");
}

static void print_kubernetes(const char *memdebug)
{
    printf("\n# --- Kubernetes: the program's image is as it was, with glibc 2.36 or newer\n"
           "apiVersion: v1\n"
           "kind: Pod\n"
           "metadata:\n"
           "  name: app\n"
           "spec:\n"
           "  shareProcessNamespace: true     # memtop sees the program's process\n"
           "  volumes:\n"
           "  - name: memdebug                # the library\n"
           "    emptyDir: {}\n"
           "  - name: memdebug-run            # the segment: memory of the program's container\n"
           "    emptyDir: {medium: Memory, sizeLimit: 64Mi}\n"
           "  initContainers:\n"
           "  - name: memdebug\n"
           "    image: MEMDEBUG_IMAGE\n"
           "    command: [cp, -r, " PREFIX "/lib, /mnt/]\n"
           "    volumeMounts:\n"
           "    - {name: memdebug, mountPath: /mnt}\n"
           "  containers:\n"
           "  - name: app\n"
           "    image: IMAGE\n"
           "    env:\n"
           "    - {name: LD_PRELOAD, value: " LIBRARY "}\n");
    if (memdebug[0] != '\0') {
        printf("    - {name: MEMDEBUG, value: ");
        put_quoted(&json, memdebug);
        printf("}\n");
    }
    printf("    securityContext:\n"
           "      runAsUser: 1000\n"
           "      readOnlyRootFilesystem: true\n"
           "      allowPrivilegeEscalation: false\n"
           "      capabilities: {drop: [ALL]}\n"
           "    volumeMounts:\n"
           "    - {name: memdebug, mountPath: " PREFIX ", readOnly: true}\n"
           "    - {name: memdebug-run, mountPath: /run/memdebug}\n"
           "  - name: memtop                  # kubectl exec -it app -c memtop -- " PREFIX
           "/bin/memtop\n"
           "    image: MEMDEBUG_IMAGE\n"
           "    command: [sleep, infinity]\n"
           "    securityContext:\n"
           "      runAsUser: 1000             # the program's user; root needs the capability "
           "SYS_PTRACE\n"
           "      readOnlyRootFilesystem: true\n"
           "      allowPrivilegeEscalation: false\n"
           "      capabilities: {drop: [ALL]}\n"
           "    volumeMounts:\n"
           "    - {name: memdebug-run, mountPath: /run/memdebug}   # for what has ended\n");
}

int command_container(const struct options *options)
{
    char complaint[SETTINGS_COMPLAINT_SIZE];
    if (!settings_check(options->arguments, options->argument_count, complaint)) {
        cli_error("%s", complaint);
        return EXIT_USAGE;
    }
    char *memdebug = settings_text(options->arguments, options->argument_count);
    if (!memdebug) {
        cli_error("%s", strerror(ENOMEM));
        return EXIT_FAILED;
    }
    print_dockerfile(memdebug);
    print_docker(memdebug);
    print_kubernetes(memdebug);
    free(memdebug);
    return EXIT_DONE;
}
