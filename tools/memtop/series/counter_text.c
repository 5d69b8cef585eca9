#include "counter_text.h"

#include <math.h>
#include <string.h>

const char *counter_text(const struct counter *counter, const struct md_header *header,
                         char text[UNITS_SIZE])
{
    static const char bytes[] = "_bytes";
    size_t length = strlen(counter->name), unit = sizeof bytes - 1;
    uint64_t count;
    double value = counter_value(counter, header, &count) ? (double)count : NAN;
    return length > unit && strcmp(counter->name + length - unit, bytes) == 0
               ? units_bytes(text, value)
               : units_count(text, value);
}
