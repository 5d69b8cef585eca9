/* How the value of an option is read and written, by its type.  Nothing here is kept. */
#ifndef BASE_OPTION_VALUES_H
#define BASE_OPTION_VALUES_H

#include <stdbool.h>
#include <stdint.h>

/* As options.def has it. */
enum option_type { SWITCH, COUNT, SIZE, DURATION, WORD, PERCENT, CPU, LIMIT, SIGNAL, TEXT };
enum option_when { START, RUNTIME, LATER };
struct option {
    const char *key, *initial, *accepts, *meaning;
    enum option_type type;
    enum option_when when;
};

enum option_parsed { PARSED, PARSED_BAD, PARSED_LATER, PARSED_LONG };
/* What `text` means to this option; PARSED_LONG is not for it to say. */
enum option_parsed option_value_read(const struct option *o, const char *text, uint64_t *number);
/* Such that option_value_read reads it again; of a TEXT nothing. */
struct fmt;
void option_value_write(struct fmt *f, const struct option *o, uint64_t number);
/* Digits at the start of `text`; false on none or overflow.  `end` is set behind them. */
bool option_value_digits(const char *text, uint64_t *number, const char **end);

#endif
