/* Any bytes as a mangled name: what comes out is text of bounded length, and its short form is no
 * longer. */
#include "replay.h"

#include "view/rust_name.h"
#include "view/simple_name.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *mangled = malloc(size + 1);
    if (!mangled)
        return 0;
    memcpy(mangled, bytes, size);
    mangled[size] = 0;
    char *name = rust_name(mangled);
    if (name) {
        size_t length = strlen(name);
        if (length > 16384)
            abort();
        simple_name(name);
        if (strlen(name) > length)
            abort();
    }
    free(name);
    free(mangled);
    return 0;
}

uint8_t *fuzz_seed(unsigned index, size_t *size)
{
    static const char *const seeds[] = {
        "_RNqCs4fqI2P2rA04_11utf8_identsu30____7hkackfecea1cbdathfdh9hlq6y",
        "_RNCINkXs25_NgCsbmNqQUJIY6D_4core5sliceINyB9_4IterhENuNgNoBb_4iter8iterator8Iterator9"
        "rpositionNCNgNpB9_6memchr7memrchrs_0E0Bb_",
        "_RINbNbCskIICzLVPPb_5alloc5alloc8box_freeDINbNiB4_5boxed5FnBoxuEp6OutputuEL_ECs1iopQbu"
        "Biw2_3std",
        "_RMC1aTDG_INtC1b1TRL0_hEp1OuNtC1b4SendEL_FUKCPhOtEuINtB0_4CharKc2202_EAtj5_E",
        "_ZN71_$LT$Test$u20$$u2b$$u20$$u27$static$u20$as$u20$foo..Bar$LT$Test$GT$$GT$3bar17h930b"
        "740aa94f1d3aE",
    };
    if (index >= sizeof seeds / sizeof seeds[0])
        return NULL;
    *size = strlen(seeds[index]);
    return (uint8_t *)strdup(seeds[index]);
}
