#include "reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void set_line(struct reply *reply, unsigned status, const char *format, va_list arguments)
{
    char line[1024];
    vsnprintf(line, sizeof line - 1, format, arguments);
    strcat(line, "\n");
    free(reply->bytes);
    reply->bytes = strdup(line);
    reply->size = reply->bytes ? strlen(line) : 0;
    reply->status = status;
    reply->type = REPLY_TEXT;
    reply->disposition[0] = '\0';
}

void reply_line(struct reply *reply, unsigned status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    set_line(reply, status, format, arguments);
    va_end(arguments);
}

void reply_error(struct reply *reply, unsigned status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    set_line(reply, status, format, arguments);
    va_end(arguments);
    reply->pprof_error = 1;
}

void reply_body(struct reply *reply, const char *type, char *bytes, size_t size)
{
    if (!bytes) {
        reply_line(reply, 500, "out of memory");
        return;
    }
    free(reply->bytes);
    reply->bytes = bytes;
    reply->size = size;
    reply->type = type;
    reply->status = 200;
}
