/* The profile of the heap at its high-water mark, in buckets of kind MD_BUCKET_PEAK. */
#ifndef PROF_PEAK_H
#define PROF_PEAK_H

/* Notes what each call site has in use now.  On a thread of ours; the tables are locked for some
 * 10 us at a time, so samples of meanwhile may count. */
void peak_keep(void);

#endif
