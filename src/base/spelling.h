/* How near a mistyped word is to the right ones. */
#ifndef BASE_SPELLING_H
#define BASE_SPELLING_H

#define SPELLING_MOST 32

/* Levenshtein distance; of each word the first SPELLING_MOST characters count. */
unsigned spelling_distance(const char *a, const char *b);

#endif
