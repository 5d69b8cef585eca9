/* Numbers as text for people: bytes, counts, durations.  Pure.  Functions that write return
 * `buffer`, so that they can stand in an argument list; NAN is "-". */
#ifndef MEMTOP_UNITS_H
#define MEMTOP_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UNITS_SIZE 24 /* enough for any one of them */

/* What units_bytes and most others below are. */
typedef char *units_function(char buffer[static UNITS_SIZE], double value);

/* "0", "812", "53.2K", "1.50G": powers of two, at most 5 columns. */
char *units_bytes(char buffer[static UNITS_SIZE], double bytes);
/* The same with a sign, "+1.20M", "-3.0K"; "0" has none. */
char *units_growth(char buffer[static UNITS_SIZE], double bytes);
/* "0", "812", "48.2k", "1.50M": powers of ten. */
char *units_count(char buffer[static UNITS_SIZE], double count);
/* "0", "850ns", "12us", "1.2ms", "3.4s". */
char *units_pause(char buffer[static UNITS_SIZE], double ns);
/* "8s", "3m12s", "2h05m", "4d03h": whole seconds. */
char *units_age(char buffer[static UNITS_SIZE], double seconds);

/* Reads "500ms", "2s", "2", "1m", "0.5"; without a unit it is seconds.  False, and *seconds
 * unchanged, unless it is positive and at most a day. */
bool units_parse_seconds(const char *text, double *seconds);

#endif
