#include "ndjson.h"

#include "view/plain_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

json_t *ndjson_number(double value)
{
    if (isnan(value) || isinf(value))
        return json_null();
    if (value == floor(value) && fabs(value) < 9e15)
        return json_integer((json_int_t)value);
    return json_real(value);
}

json_t *ndjson_string(const char *text)
{
    char clean[1100];
    plain_text(clean, sizeof clean, text, strlen(text));
    json_t *string = json_string(clean);
    if (string)
        return string;
    for (char *p = clean; *p; p++)
        if ((unsigned char)*p >= 0x80)
            *p = '?';
    return json_string(clean);
}

void ndjson_line(FILE *out, json_t *object)
{
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
    if (text)
        fprintf(out, "%s\n", text);
    free(text);
    json_decref(object);
}
