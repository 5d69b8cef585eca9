/* A function that stays one with a frame of its own, for programs that know who allocates.  gcc
 * also makes copies of a function for the arguments of a caller; clang knows no word for that. */
#ifndef TESTS_NOINLINE_H
#define TESTS_NOINLINE_H

#ifdef __clang__
#define NOINLINE __attribute__((noinline))
#else
#define NOINLINE __attribute__((noinline, noclone))
#endif

#endif
