/* Any bytes as the URI of a request to memtop serve: refused, or read into a route whose texts end
 * and whose numbers are in their ranges; read twice it is the same. */
#include "replay.h"

#include "serve/access.h"
#include "serve/route.h"

#include <stdlib.h>
#include <string.h>

static void check(bool condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct access access = {.token = "0123456789abcdef", .own_name = "here"};
    struct route route, again;
    const char *why;
    char *text = malloc(size + 1);
    if (!text)
        abort();
    memcpy(text, bytes, size);
    text[size] = '\0';
    unsigned status = route_parse(text, &route, &why);
    check(status == 0 || status == 404 || status == 414);
    check((status == 0) == (why[0] == '\0'));
    check(route_parse(text, &again, &why) == status);
    check(memcmp(&route, &again, sizeof route) == 0);
    if (status == 0) {
        check(strnlen(route.name, sizeof route.name) < sizeof route.name);
        check(strnlen(route.profile, sizeof route.profile) < sizeof route.profile);
        check(route.scope != ROUTE_PID || route.pid > 0);
        check(route.scope != ROUTE_NAME || route.name[0] != '\0');
        check(route.seconds >= 0 && route.kind < MD_BUCKET_KINDS);
        for (const char *c = route.name; *c; c++)
            check((unsigned char)*c >= 0x20 && *c != 0x7f);
    }
    access_host(&access, text);
    access_cross_site(text, text, text);
    check(!access_is_token(&access, text) || strcmp(text, access.token) == 0);
    free(text);
    return 0;
}

uint8_t *fuzz_seed(unsigned index, size_t *size)
{
    static const char *const seeds[] = {
        "/pid/812/debug/pprof/heap?seconds=5&debug=1&gc=1",
        "/name/redis%2dserver/debug/pprof/allocs?seconds=%31+&x=;y",
        "/debug/pprof/symbol?0x401000+0x402000",
        "/pid/4294967296/debug/pprof/../../etc/passwd%00",
        "/pid/1/metrics",
        "/json/pid/1",
        "[::1]:6061",
        "localhost:6061",
        "0123456789abcdef",
    };
    if (index >= sizeof seeds / sizeof seeds[0])
        return NULL;
    *size = strlen(seeds[index]);
    return (uint8_t *)strdup(seeds[index]);
}
