/* marker.h for aarch64: there is mark_code_any alone. */
#include "gc/mark/marker.h"

const struct mark_code *mark_code_of_cpu(void)
{
    return &mark_code_any;
}
