# SPDX-License-Identifier: Apache-2.0
"""What PTX has words for, whether the software GPU can do it or not: any other word is an error."""

from __future__ import annotations

_OPCODES = """
    add sub mul mad mul24 mad24 sad div rem abs neg min max popc clz bfind fns brev bfe bfi bmsk
    szext dp4a dp2a addc subc madc testp copysign fma rcp sqrt rsqrt sin cos lg2 ex2 tanh
    set setp selp slct and or xor not cnot lop3 shf shl shr
    mov shfl prmt ld ldu st multimem prefetch prefetchu applypriority discard createpolicy isspacep
    cvta cvt mapa getctarank cp tensormap tex tld4 txq istypep suld sust sured suq
    bra brx call ret exit bar barrier membar fence atom red vote match activemask redux
    griddepcontrol elect mbarrier clusterlaunchcontrol wmma mma ldmatrix stmatrix movmatrix wgmma
    tcgen05 stacksave stackrestore alloca brkpt nanosleep pmevent trap setmaxnreg
    vadd vsub vabsdiff vmin vmax vshl vshr vmad vset
    vadd2 vsub2 vavrg2 vabsdiff2 vmin2 vmax2 vset2 vadd4 vsub4 vavrg4 vabsdiff4 vmin4 vmax4 vset4
    """

# Of these there are .x to .w.
_VECTORS = """
    tid ntid ctaid nctaid clusterid nclusterid cluster_ctaid cluster_nctaid
    """
_SCALARS = """
    laneid warpid nwarpid smid nsmid gridid is_explicit_cluster cluster_ctarank cluster_nctarank
    lanemask_eq lanemask_le lanemask_lt lanemask_ge lanemask_gt clock clock_hi clock64
    globaltimer globaltimer_lo globaltimer_hi total_smem_size aggr_smem_size dynamic_smem_size
    current_graph_exec reserved_smem_offset_begin reserved_smem_offset_end reserved_smem_offset_cap
    reserved_smem_offset_0 reserved_smem_offset_1
    """

OPCODES = frozenset(_OPCODES.split())
SPECIAL_REGISTERS = frozenset(
    [
        *_SCALARS.split(),
        *_VECTORS.split(),
        *(f"{name}.{axis}" for name in _VECTORS.split() for axis in "xyzw"),
        *(f"envreg{n}" for n in range(32)),
        *(f"pm{n}{width}" for n in range(8) for width in ("", "_64")),
    ]
)
