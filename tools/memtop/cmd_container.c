/* memtop container [KEY=VALUE...]: what puts memdebug into a container, as text to copy from.  The
 * lines follow the public documentation of Docker and Kubernetes; nothing is run. */
#include "cli.h"
#include "launch.h"
#include "program_output.h"
#include "settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How a text is written in each of the languages: what stands around it, what in front of each of
 * these characters, and which of them are doubled. */
struct quoting {
    const char *around, *escaped, *doubled;
};

static const struct quoting dockerfile = {"\"", "\"\\$", ""}, /* a variable would be put in for $ */
    json = {"\"", "\"\\", "$"}; /* Kubernetes puts in $(VARIABLE), and takes $$ for $ */

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

/* The libraries that ours needs beside those of glibc, by name, with a blank before each;
 * malloc'ed,
 * "" where they are not to be found out. */
static char *needed_libraries(const char *library)
{
    static const char *const of_glibc[] = {"libc.so.",       "libm.so.",  "libdl.so.",
                                           "libpthread.so.", "librt.so.", "ld-linux"};
    const char *const argv[] = {"ldd", library, NULL};
    char *said = program_output(argv), *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    for (char *next, *line = said ? strtok_r(said, "\n", &next) : NULL; out && line;
         line = strtok_r(NULL, "\n", &next)) {
        char name[256], path[4096];
        bool ours = sscanf(line, " %255s => %4095s", name, path) == 2 && path[0] == '/';
        for (size_t i = 0; i < sizeof of_glibc / sizeof of_glibc[0]; i++)
            ours = ours && strncmp(name, of_glibc[i], strlen(of_glibc[i])) != 0;
        if (ours)
            fprintf(out, " %s", name);
    }
    free(said);
    if (out && fclose(out) == 0)
        return text;
    return NULL;
}

static void print_dockerfile(const char *needed, const char *memdebug)
{
    printf("# --- Dockerfile, an image of Debian or Ubuntu with glibc 2.36 or newer; last, so that "
           "it holds\n"
           "# --- for what the image runs and not for what builds it\n"
           "COPY libmemdebug0_*.deb /tmp/\n"
           "RUN apt-get update && apt-get install -y --no-install-recommends "
           "/tmp/libmemdebug0_*.deb \\\n"
           "    && rm -rf /tmp/libmemdebug0_*.deb /var/lib/apt/lists/*\n"
           "ENV LD_PRELOAD=libmemdebug.so.0\n");
    if (memdebug[0] != '\0') {
        printf("ENV MEMDEBUG=");
        put_quoted(&dockerfile, memdebug);
        printf("\n");
    }
    printf("\n# --- Dockerfile, an image without a package manager (distroless, of the same "
           "Debian): copied\n"
           "# --- from a stage that has one, what the library needs with it\n"
           "FROM debian:12-slim AS memdebug\n"
           "COPY libmemdebug0_*.deb /tmp/\n"
           "RUN apt-get update && apt-get install -y --no-install-recommends "
           "/tmp/libmemdebug0_*.deb \\\n"
           "    && mkdir /memdebug && cd /usr/lib/x86_64-linux-gnu \\\n"
           "    && cp -L libmemdebug.so.0%s /memdebug/\n"
           "FROM gcr.io/distroless/base-debian12\n"
           "COPY --from=memdebug /memdebug/ /usr/lib/x86_64-linux-gnu/\n"
           "ENV LD_PRELOAD=libmemdebug.so.0\n",
           needed);
    if (memdebug[0] != '\0') {
        printf("ENV MEMDEBUG=");
        put_quoted(&dockerfile, memdebug);
        printf("\n");
    }
}

static void print_docker(const char *memdebug)
{
    printf("\n# --- docker: the root may be read-only.  The segment takes a sixteenth of what is "
           "free where\n"
           "# --- it lies, here 4 MB of 64; without the tmpfs it lies in /dev/shm (--shm-size).\n"
           "docker run --name app --read-only --tmpfs /run/memdebug:size=64m,mode=1777 \\\n"
           "    -e LD_PRELOAD=libmemdebug.so.0 ");
    if (memdebug[0] != '\0') {
        printf("-e MEMDEBUG=");
        put_shell(memdebug);
        putchar(' ');
    }
    printf("IMAGE\n"
           "memtop ps                       # on the host, as root: sees into every container\n"
           "docker run -it --rm --pid container:app --user \"$(docker exec app id -u)\" "
           "MEMTOP_IMAGE memtop\n"
           "                                # without the host: as the program's user; root needs\n"
           "                                # --cap-add SYS_PTRACE\n");
}

static void print_kubernetes(const char *memdebug)
{
    printf("\n# --- Kubernetes: the program's image is as it was.  MEMDEBUG_IMAGE: the stage "
           "`memdebug` above,\n"
           "# --- with memtop_*.deb installed too.\n"
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
           "    command: [cp, -r, /memdebug/., /mnt/]\n"
           "    volumeMounts:\n"
           "    - {name: memdebug, mountPath: /mnt}\n"
           "  containers:\n"
           "  - name: app\n"
           "    image: IMAGE\n"
           "    env:\n"
           "    - {name: LD_PRELOAD, value: /memdebug/libmemdebug.so.0}\n"
           "    - {name: LD_LIBRARY_PATH, value: /memdebug}   # for what the library needs\n");
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
           "    - {name: memdebug, mountPath: /memdebug, readOnly: true}\n"
           "    - {name: memdebug-run, mountPath: /run/memdebug}\n"
           "  - name: memtop                  # kubectl exec -it app -c memtop -- memtop\n"
           "    image: MEMDEBUG_IMAGE\n"
           "    command: [sleep, infinity]\n"
           "    securityContext:\n"
           "      runAsUser: 1000             # the program's user; root needs capabilities: {add: "
           "[SYS_PTRACE]}\n"
           "      readOnlyRootFilesystem: true\n"
           "    volumeMounts:\n"
           "    - {name: memdebug-run, mountPath: /run/memdebug}   # for what has ended\n");
}

int command_container(const struct options *options)
{
    char library[PATH_MAX], error[VIEW_ERROR_SIZE];
    if (!settings_check(options->arguments, options->argument_count))
        return EXIT_USAGE;
    if (!launch_library(library, error)) {
        cli_error("%s", error);
        return EXIT_FAILED;
    }
    char *memdebug = settings_text(options->arguments, options->argument_count),
         *needed = needed_libraries(library);
    int status = memdebug && needed ? EXIT_DONE : EXIT_FAILED;
    if (status == EXIT_DONE) {
        print_dockerfile(needed, memdebug);
        print_docker(memdebug);
        print_kubernetes(memdebug);
    }
    free(memdebug);
    free(needed);
    return status;
}
