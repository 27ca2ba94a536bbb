# SPDX-License-Identifier: Apache-2.0
"""Small functions in LLVM text that lowerings call by name; LLVM inlines them and drops the
rest.
"""

_ROUND_ODD = """
; Double to float, rounded to odd: a later rounding to fewer bits is then as good as rounding once.
define internal float @sg.f64.to.f32.odd(double %x) alwaysinline nounwind {
  %near = fptrunc double %x to float
  %back = fpext float %near to double
  %exact = fcmp ueq double %back, %x
  %bits = bitcast float %near to i32
  %odd = and i32 %bits, 1
  %is_odd = icmp ne i32 %odd, 0
  %abs_x = call double @llvm.fabs.f64(double %x)
  %abs_back = call double @llvm.fabs.f64(double %back)
  %above = fcmp ogt double %abs_back, %abs_x
  ; The neighbour towards x: one less in magnitude if we rounded away, else one more. One of the
  ; two is odd.
  %step = select i1 %above, i32 -1, i32 1
  %moved = add i32 %bits, %step
  %choice = select i1 %is_odd, i32 %bits, i32 %moved
  %result_bits = select i1 %exact, i32 %bits, i32 %choice
  %result = bitcast i32 %result_bits to float
  ret float %result
}

; a * b + c where a * b is exact in double, rounded to odd.
define internal double @sg.fma.odd(double %a, double %b, double %c) alwaysinline nounwind {
  %p = fmul double %a, %b
  %s = fadd double %p, %c
  %pv = fsub double %s, %c
  %cv = fsub double %s, %pv
  %pe = fsub double %p, %pv
  %ce = fsub double %c, %cv
  %error = fadd double %pe, %ce
  %bits = bitcast double %s to i64
  %low = and i64 %bits, 1
  %even = icmp eq i64 %low, 0
  %inexact = fcmp one double %error, 0.0
  %fix = and i1 %even, %inexact
  ; Towards the error: up in magnitude if it has the sign of s.
  %error_bits = bitcast double %error to i64
  %signs = xor i64 %error_bits, %bits
  %opposite = icmp slt i64 %signs, 0
  %step = select i1 %opposite, i64 -1, i64 1
  %moved = add i64 %bits, %step
  %chosen = select i1 %fix, i64 %moved, i64 %bits
  %result = bitcast i64 %chosen to double
  ret double %result
}
"""

_NARROW = """
define internal i16 @sg.f32.to.f16(float %x) alwaysinline nounwind {
  %h = fptrunc float %x to half
  %bits = bitcast half %h to i16
  %nan = fcmp uno float %x, %x
  %result = select i1 %nan, i16 32767, i16 %bits
  ret i16 %result
}

define internal i16 @sg.f64.to.f16(double %x) alwaysinline nounwind {
  %f = call float @sg.f64.to.f32.odd(double %x)
  %result = call i16 @sg.f32.to.f16(float %f)
  ret i16 %result
}

define internal i16 @sg.f32.to.bf16(float %x) alwaysinline nounwind {
  %bits = bitcast float %x to i32
  %shifted = lshr i32 %bits, 16
  %lsb = and i32 %shifted, 1
  %bias = add i32 %lsb, 32767
  %sum = add i32 %bits, %bias
  %top = lshr i32 %sum, 16
  %narrow = trunc i32 %top to i16
  %nan = fcmp uno float %x, %x
  %result = select i1 %nan, i16 32767, i16 %narrow
  ret i16 %result
}

define internal i16 @sg.f64.to.bf16(double %x) alwaysinline nounwind {
  %f = call float @sg.f64.to.f32.odd(double %x)
  %result = call i16 @sg.f32.to.bf16(float %f)
  ret i16 %result
}
"""

PRELUDE = "declare double @llvm.fabs.f64(double)\n" + _ROUND_ODD + _NARROW
PRELUDE_NAMES = frozenset(
    {
        "llvm.fabs.f64",
        "sg.f64.to.f32.odd",
        "sg.fma.odd",
        "sg.f32.to.f16",
        "sg.f64.to.f16",
        "sg.f32.to.bf16",
        "sg.f64.to.bf16",
    }
)
