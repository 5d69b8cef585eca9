/* Without libFuzzer a harness is a program that plays a corpus: each argument is a file or a
 * folder of files.  So fuzzers run as tests with any compiler. */
#ifndef TESTS_FUZZ_REPLAY_H
#define TESTS_FUZZ_REPLAY_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* A seed that the corpus folder need not hold: number `index`, or NULL after the last.  `size` gets
 * its length.  malloc'ed. */
uint8_t *fuzz_seed(unsigned index, size_t *size);

#endif
