#include "access.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

static int refuse(char *error, const char *path, const char *why, int code)
{
    snprintf(error, VIEW_ERROR_SIZE, "%.120s: %s", path, why);
    return code;
}

int access_read_token(struct access *access, const char *path, char error[VIEW_ERROR_SIZE])
{
    struct stat st;
    char text[ACCESS_TOKEN_SIZE + 2] = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) != 0) {
        int code = errno;
        if (fd >= 0)
            close(fd);
        return refuse(error, path, strerror(code), code);
    }
    ssize_t n = S_ISREG(st.st_mode) ? read(fd, text, sizeof text - 1) : -1;
    close(fd);
    if (n < 0)
        return refuse(error, path, "no regular file that can be read", EINVAL);
    if (st.st_mode & 077)
        return refuse(error, path, "others may read the token: chmod 600", EACCES);
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return refuse(error, path, "another user's file", EACCES);
    size_t length = strcspn(text, "\r\n");
    text[length] = '\0';
    if (length < ACCESS_TOKEN_LEAST || length >= ACCESS_TOKEN_SIZE ||
        strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=") !=
            length)
        return refuse(error, path,
                      "the first line must be the token, 16 to 256 of A-Z a-z 0-9 -._~+/=", EINVAL);
    memset(access->token, 0, sizeof access->token);
    memcpy(access->token, text, length);
    return 0;
}

bool access_is_token(const struct access *access, const char *given)
{
    char padded[ACCESS_TOKEN_SIZE] = {0};
    volatile unsigned char differs = 0;
    size_t length = given ? strlen(given) : 0;
    if (length == 0 || length >= sizeof padded || access->token[0] == '\0')
        return false;
    snprintf(padded, sizeof padded, "%s", given);
    for (size_t i = 0; i < sizeof padded; i++)
        differs |= (unsigned char)(padded[i] ^ access->token[i]);
    return differs == 0;
}

/* The name in a Host header, without port, brackets and a dot at its end.  False: it is none. */
static bool host_name(const char *host, char name[256])
{
    bool brackets = host[0] == '[';
    size_t length = brackets ? strcspn(++host, "]") : strcspn(host, ":");
    const char *rest = host + length;
    if (brackets && *rest++ != ']')
        return false;
    if (*rest != '\0' && (*rest != ':' || rest[1 + strspn(rest + 1, "0123456789")] != '\0'))
        return false;
    if (length == 0 || length >= 256)
        return false;
    snprintf(name, 256, "%.*s", (int)length, host);
    if (name[length - 1] == '.' && length > 1)
        name[length - 1] = '\0';
    return true;
}

static bool is_address(const char *name)
{
    unsigned char address[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
}

bool access_host(const struct access *access, const char *host)
{
    char name[256];
    if (!host)
        return true;
    if (!host_name(host, name))
        return false;
    if (is_address(name) || strcasecmp(name, "localhost") == 0 ||
        (access->own_name[0] && strcasecmp(name, access->own_name) == 0))
        return true;
    for (size_t i = 0; i < access->host_count; i++)
        if (strcasecmp(name, access->hosts[i]) == 0)
            return true;
    return false;
}

bool access_cross_site(const char *origin, const char *fetch_site, const char *host)
{
    if (fetch_site && strcmp(fetch_site, "same-origin") != 0 && strcmp(fetch_site, "none") != 0)
        return true;
    if (!origin)
        return false;
    const char *name = strstr(origin, "://");
    return !name || !host || strcasecmp(name + 3, host) != 0;
}
