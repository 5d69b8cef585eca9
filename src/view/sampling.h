/* How far off the values of a profile are, by what it says of its sampling.
 *
 * Of a profile of the heap the period says how it was sampled: an allocation of S bytes with the
 * probability p = 1 - exp(-S/period), to stand for w = 1/p objects.  So N objects add N(w-1) to the
 * variance, and S^2 times that in bytes (Horvitz-Thompson).  Pure. */
#ifndef VIEW_SAMPLING_H
#define VIEW_SAMPLING_H

#include "view/profile.h"

enum sampling_known {
    SAMPLING_UNKNOWN,  /* the profile does not say, or not of this type */
    SAMPLING_EXACT,    /* all was recorded */
    SAMPLING_ESTIMATES /* sampling_variance has the errors */
};

/* Of one sample type of a profile. */
struct sampling {
    const struct profile *profile;
    enum sampling_known known;
    int index;
    int objects, space; /* types: how many objects there are, and of how many bytes; -1 */
};

struct sampling sampling_of(const struct profile *p, int index);
/* The variance of a sample's value; 0 but for SAMPLING_ESTIMATES. */
double sampling_variance(const struct sampling *sampling, size_t sample);

/* The sum of a type over all samples. */
struct sampling_sum {
    double value, variance; /* variance NAN: not known */
};
struct sampling_sum sampling_total(const struct sampling *sampling);

#endif
