/* marker.h for x86-64: mark_code_wide is built for AVX2, BMI and BMI2. */
#include "gc/mark/marker.h"

const struct mark_code *mark_code_of_cpu(void)
{
    bool wide = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
                __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
    return wide ? &mark_code_wide : &mark_code_any;
}
