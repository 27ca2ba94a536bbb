/* SPDX-License-Identifier: Apache-2.0
 *
 * Arithmetic that LLVM has no portable instruction for: directed rounding, narrow formats, find n-th set.
 */
#include <math.h>
#include <string.h>
#include <time.h>
#include <xmmintrin.h>

#include "thread.h"

/* Modes as compiled code passes them: the MXCSR's encoding, then two of our own. */
enum { ROUND_NEAREST, ROUND_DOWN, ROUND_UP, ROUND_ZERO, ROUND_AWAY, ROUND_ODD };
enum { MXCSR_ROUNDING = 0x6000, MXCSR_SHIFT = 13 };

/* The barriers keep the compiler from moving the operation out of the changed mode. */
#define KEEP(value) __asm__ volatile("" : "+x"(value))

static inline unsigned enter_mode(uint32_t mode)
{
    unsigned saved = _mm_getcsr();

    _mm_setcsr((saved & ~(unsigned)MXCSR_ROUNDING) | (mode & 3) << MXCSR_SHIFT);
    return saved;
}

#define BINARY(name, type, expression)                 \
    type name(type a, type b, uint32_t mode);          \
    type name(type a, type b, uint32_t mode)           \
    {                                                  \
        unsigned saved = enter_mode(mode);             \
        KEEP(a);                                       \
        KEEP(b);                                       \
        type result = expression;                      \
        KEEP(result);                                  \
        _mm_setcsr(saved);                             \
        return result;                                 \
    }

BINARY(sg_op_add_f32, float, a + b)
BINARY(sg_op_mul_f32, float, a * b)
BINARY(sg_op_div_f32, float, a / b)
BINARY(sg_op_add_f64, double, a + b)
BINARY(sg_op_mul_f64, double, a * b)
BINARY(sg_op_div_f64, double, a / b)

#define UNARY(name, from, type, expression) \
    type name(from a, uint32_t mode);       \
    type name(from a, uint32_t mode)        \
    {                                       \
        unsigned saved = enter_mode(mode);  \
        __asm__ volatile("" : "+m"(a));     \
        type result = expression;           \
        KEEP(result);                       \
        _mm_setcsr(saved);                  \
        return result;                      \
    }

UNARY(sg_op_sqrt_f32, float, float, sqrtf(a))
UNARY(sg_op_sqrt_f64, double, double, sqrt(a))
UNARY(sg_op_f64_to_f32, double, float, (float)a)
UNARY(sg_op_s64_to_f32, int64_t, float, (float)a)
UNARY(sg_cut_s64_to_f64, int64_t, double, (double)a)

/* Unsigned conversions of the top half are done by the compiler in steps that assume rounding to nearest, so the
 * value is split into parts that convert exactly, and only their sum is rounded. */
static double parts(uint64_t a, double *low)
{
    *low = (double)(uint32_t)a;
    return (double)(uint32_t)(a >> 32) * 4294967296.0;
}

double sg_op_s64_to_f64(int64_t a, uint32_t mode);
double sg_op_u64_to_f64(uint64_t a, uint32_t mode);
float sg_op_u64_to_f32(uint64_t a, uint32_t mode);

/* Rounding to odd: cut off, then mark the last bit if anything was lost, for a later rounding to fewer bits. */
static double mark_inexact(double cut, int inexact)
{
    uint64_t bits;

    memcpy(&bits, &cut, sizeof bits);
    bits |= (uint64_t)(inexact != 0);
    memcpy(&cut, &bits, sizeof bits);
    return cut;
}

double sg_op_s64_to_f64(int64_t a, uint32_t mode)
{
    if (mode != ROUND_ODD)
        return sg_cut_s64_to_f64(a, mode);
    double cut = sg_cut_s64_to_f64(a, ROUND_ZERO);
    return mark_inexact(cut, (int64_t)cut != a);
}

double sg_op_u64_to_f64(uint64_t a, uint32_t mode)
{
    double low, high = parts(a, &low);

    if (mode != ROUND_ODD)
        return sg_op_add_f64(high, low, mode);
    double cut = sg_op_add_f64(high, low, ROUND_ZERO);
    return mark_inexact(cut, (uint64_t)cut != a);
}

float sg_op_u64_to_f32(uint64_t a, uint32_t mode)
{
    /* Bits below the 53 that a double holds only matter as "some": or them into the lowest. */
    uint64_t sticky = a >> 11 | ((a & 0x7FF) != 0);

    if (a >> 53 == 0)
        return sg_op_f64_to_f32((double)a, mode);
    return sg_op_f64_to_f32((double)(int64_t)sticky * 2048.0, mode);
}

#define FUSED(name, type, function)                     \
    type name(type a, type b, type c, uint32_t mode);   \
    type name(type a, type b, type c, uint32_t mode)    \
    {                                                   \
        unsigned saved = enter_mode(mode);              \
        KEEP(a);                                        \
        KEEP(b);                                        \
        KEEP(c);                                        \
        type result = function(a, b, c);                \
        KEEP(result);                                   \
        _mm_setcsr(saved);                              \
        return result;                                  \
    }

FUSED(sg_op_fma_f32, float, fmaf)
FUSED(sg_op_fma_f64, double, fma)

static int rounds_up(uint64_t kept, uint64_t rest, uint64_t half, int negative, uint32_t mode)
{
    switch (mode) {
    case ROUND_NEAREST:
        return rest > half || (rest == half && (kept & 1));
    case ROUND_AWAY:
        return rest >= half;
    case ROUND_DOWN:
        return rest && negative;
    case ROUND_UP:
        return rest && !negative;
    case ROUND_ODD:
        return rest && !(kept & 1);
    default:
        return 0;
    }
}

static int overflows_to_infinity(int negative, uint32_t mode)
{
    return mode == ROUND_NEAREST || mode == ROUND_AWAY || (mode == ROUND_UP && !negative) ||
           (mode == ROUND_DOWN && negative);
}

/* A double to a format with `precision` significant bits (the implicit one included) and `exponent_bits`. */
uint32_t sg_op_narrow(double value, uint32_t precision, uint32_t exponent_bits, uint32_t mode);

uint32_t sg_op_narrow(double value, uint32_t precision, uint32_t exponent_bits, uint32_t mode)
{
    uint32_t fraction_bits = precision - 1;
    uint32_t infinity = ((1u << exponent_bits) - 1) << fraction_bits;
    int32_t bias = (1 << (exponent_bits - 1)) - 1;
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    int negative = (int)(bits >> 63);
    uint32_t sign = (uint32_t)negative << (exponent_bits + fraction_bits);
    if (isnan(value))
        return infinity | ((1u << fraction_bits) - 1);
    if (isinf(value))
        return sign | infinity;
    int32_t exponent = (int32_t)(bits >> 52 & 0x7FF) - 1023;
    uint64_t mantissa = bits & ((UINT64_C(1) << 52) - 1);
    if (exponent == -1023) /* subnormal doubles are tiny in every narrower format: keep only that they are not 0 */
        exponent = -1022;
    else
        mantissa |= UINT64_C(1) << 52;
    int32_t lowest = 1 - bias;
    int32_t drop = 52 - (int32_t)fraction_bits + (exponent < lowest ? lowest - exponent : 0);
    uint64_t kept = 0, rest = mantissa, half = UINT64_MAX;
    if (drop < 64) {
        kept = mantissa >> drop;
        rest = mantissa & ((UINT64_C(1) << drop) - 1);
        half = UINT64_C(1) << (drop - 1);
    }
    kept += (uint64_t)rounds_up(kept, rest, half, negative, mode);
    /* Adding instead of or-ing lets a carry out of the fraction raise the exponent. */
    uint64_t field = exponent < lowest ? kept : kept + ((uint64_t)(exponent - lowest) << fraction_bits);
    if (field >= infinity)
        return sign | (overflows_to_infinity(negative, mode) ? infinity : infinity - 1);
    return sign | (uint32_t)field;
}

uint32_t sg_op_fns(uint32_t mask, uint32_t base, uint32_t offset);

uint32_t sg_op_fns(uint32_t mask, uint32_t base, uint32_t offset)
{
    int32_t wanted = (int32_t)offset;
    int32_t step = wanted < 0 ? -1 : 1;

    if (base > 31)
        return UINT32_MAX;
    if (wanted == 0)
        return mask >> base & 1 ? base : UINT32_MAX;
    for (int32_t at = (int32_t)base; at >= 0 && at < 32; at += step) {
        if (mask >> at & 1) {
            wanted -= step;
            if (wanted == 0)
                return (uint32_t)at;
        }
    }
    return UINT32_MAX;
}

uint64_t sg_op_globaltimer(void);

uint64_t sg_op_globaltimer(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}
