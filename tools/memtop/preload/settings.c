#include "settings.h"

#include "base/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool settings_check(char *const settings[], size_t count, char complaint[SETTINGS_COMPLAINT_SIZE])
{
    for (size_t i = 0; i < count; i++) {
        if (!options_check(settings[i], complaint, SETTINGS_COMPLAINT_SIZE))
            return false;
        for (const char *c = settings[i]; *c; c++)
            if ((unsigned char)*c < ' ' || *c == 127) {
                snprintf(complaint, SETTINGS_COMPLAINT_SIZE,
                         "%.160s: control characters cannot stand there", settings[i]);
                return false;
            }
    }
    return true;
}

char *settings_text(char *const settings[], size_t count)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        bool follow = strncasecmp(settings[i], "follow", 6) == 0; /* fork,exec is one value */
        if (i > 0)
            fputc(',', out);
        for (const char *c = settings[i]; *c; c++) {
            if (*c == ',' && !follow)
                fputc('\\', out);
            fputc(*c, out);
        }
    }
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}
