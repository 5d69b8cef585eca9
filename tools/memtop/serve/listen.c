#include "listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Cuts "HOST:PORT" into its two.  False: it is no such text. */
static bool split(const char *text, char host[256], char port[8])
{
    const char *colon = strrchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : 0;
    if (!colon || length >= 256 || strlen(colon + 1) == 0 || strlen(colon + 1) > 5 ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1))
        return false;
    if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
        text++;
        length -= 2;
    } else if (memchr(text, ':', length)) {
        return false;
    }
    memcpy(host, text, length);
    host[length] = '\0';
    strcpy(port, colon + 1);
    return true;
}

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
    return address->sa_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

static int open_at(const struct addrinfo *info, int *fd)
{
    int one = 1;
    *fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0)
        return errno;
    setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(*fd, info->ai_addr, info->ai_addrlen) == 0 && listen(*fd, 128) == 0)
        return 0;
    int result = errno;
    close(*fd);
    *fd = -1;
    return result;
}

static void describe(int fd, char address[LISTEN_TEXT_SIZE])
{
    struct sockaddr_storage storage = {0};
    socklen_t size = sizeof storage;
    char host[64] = "", port[8] = "";
    getsockname(fd, (struct sockaddr *)&storage, &size);
    getnameinfo((struct sockaddr *)&storage, size, host, sizeof host, port, sizeof port,
                NI_NUMERICHOST | NI_NUMERICSERV);
    bool six = storage.ss_family == AF_INET6;
    snprintf(address, LISTEN_TEXT_SIZE, "%s%s%s:%s", six ? "[" : "", host, six ? "]" : "", port);
}

int listen_open(const char *text, bool open, int *fd, char address[LISTEN_TEXT_SIZE],
                char error[VIEW_ERROR_SIZE])
{
    char host[256], port[8];
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    struct addrinfo *info = NULL;
    if (!split(text, host, port)) {
        snprintf(
            error, VIEW_ERROR_SIZE,
            "--listen %.60s: an address and a port are wanted, as 127.0.0.1:6061 or [::1]:6061",
            text);
        return EINVAL;
    }
    int result = getaddrinfo(host[0] ? host : NULL, port, &hints, &info);
    if (result) {
        snprintf(error, VIEW_ERROR_SIZE, "--listen %.100s: %s", text, gai_strerror(result));
        return EINVAL;
    }
    if (!open && !is_loopback(info->ai_addr)) {
        snprintf(error, VIEW_ERROR_SIZE,
                 "--listen %.100s can be reached from other machines: that needs --token-file",
                 text);
        result = EACCES;
    } else if ((result = open_at(info, fd))) {
        snprintf(error, VIEW_ERROR_SIZE, "--listen %.100s: %s", text, strerror(result));
    } else {
        describe(*fd, address);
    }
    freeaddrinfo(info);
    return result;
}

int listen_read_pem(const char *path, char **text, char error[VIEW_ERROR_SIZE])
{
    struct stat st = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int result = fd < 0 || fstat(fd, &st) != 0                  ? errno
                 : !S_ISREG(st.st_mode) || st.st_size > 1 << 20 ? EINVAL
                                                                : 0;
    *text = result ? NULL : calloc(1, (size_t)st.st_size + 1);
    if (result == 0 && (!*text || read(fd, *text, (size_t)st.st_size) != st.st_size))
        result = *text ? EIO : ENOMEM;
    if (fd >= 0)
        close(fd);
    if (result)
        snprintf(error, VIEW_ERROR_SIZE, "%.160s: %s", path, strerror(result));
    return result;
}
