#include "csv.h"

#include <stdbool.h>
#include <string.h>

static void put_text(FILE *out, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, out);
        return;
    }
    putc('"', out);
    for (; *text; text++)
        fputs(*text == '"' ? "\"\"" : (char[]){*text, '\0'}, out);
    putc('"', out);
}

static bool is_left_out(const char *name, const char *const *left_out)
{
    for (; left_out && *left_out; left_out++)
        if (strcmp(name, *left_out) == 0)
            return true;
    return false;
}

void csv_begin(struct csv *csv, FILE *out, json_t *example, const char *const *left_out)
{
    const char *name;
    json_t *value;
    csv->columns = json_array();
    json_object_foreach(example, name, value)
    {
        if (is_left_out(name, left_out))
            continue;
        if (json_array_size(csv->columns) > 0)
            putc(',', out);
        put_text(out, name);
        json_array_append_new(csv->columns, json_string(name));
    }
    putc('\n', out);
    json_decref(example);
}

void csv_row(const struct csv *csv, FILE *out, json_t *object)
{
    size_t i;
    json_t *name;
    json_array_foreach(csv->columns, i, name)
    {
        const json_t *value = json_object_get(object, json_string_value(name));
        if (i > 0)
            putc(',', out);
        if (json_is_string(value))
            put_text(out, json_string_value(value));
        else if (json_is_integer(value))
            fprintf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        else if (json_is_real(value))
            fprintf(out, "%.15g", json_real_value(value));
        else if (json_is_boolean(value))
            fputs(json_is_true(value) ? "true" : "false", out);
    }
    putc('\n', out);
    json_decref(object);
}

void csv_end(struct csv *csv)
{
    json_decref(csv->columns);
    csv->columns = NULL;
}
