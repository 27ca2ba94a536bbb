# SPDX-License-Identifier: Apache-2.0
"""Launches and occupancy."""

from __future__ import annotations

from .common import FUNCTION, STREAM
from .table import POSTED, call, refused
from .types import address, c_int, c_uint, local, out, size

# Rows are read as lines of a table, so the formatter leaves them alone.
# fmt: off

# Kernel parameters: the front end knows their sizes and packs them into the record.
call(0x0800, "cuLaunchKernel", 4000, POSTED, elsewhere=True, front="launch_kernel", fast=True,
     per_thread="_ptsz", function=FUNCTION, grid_x=c_uint, grid_y=c_uint, grid_z=c_uint,
     block_x=c_uint, block_y=c_uint, block_z=c_uint, shared=c_uint, stream=STREAM,
     parameters=local("void **"), extra=local("void **"))
call(0x0801, "cuLaunchKernelEx", 11060, POSTED, elsewhere=True, front="launch_kernel_ex", fast=True,
     per_thread="_ptsz", config=local("const CUlaunchConfig *"), function=FUNCTION,
     parameters=local("void **"), extra=local("void **"))
call(0x0802, "cuLaunchCooperativeKernel", 9000, POSTED, elsewhere=True,
     front="launch_cooperative_kernel", fast=True, per_thread="_ptsz", function=FUNCTION,
     grid_x=c_uint, grid_y=c_uint, grid_z=c_uint, block_x=c_uint, block_y=c_uint, block_z=c_uint,
     shared=c_uint, stream=STREAM, parameters=local("void **"))
refused(0x0803, "cuLaunchCooperativeKernelMultiDevice", 9000,
     "launches on several devices at once are deprecated and not offered")
refused(0x0804, "cuLaunch", 2000, "obsolete since CUDA 4.0, replaced by cuLaunchKernel")
refused(0x0805, "cuLaunchGrid", 2000, "obsolete since CUDA 4.0, replaced by cuLaunchKernel")
refused(0x0806, "cuLaunchGridAsync", 2000, "obsolete since CUDA 4.0, replaced by cuLaunchKernel")
refused(0x0807, "cuParamSetSize", 2000, "obsolete since CUDA 4.0, replaced by cuLaunchKernel")
refused(0x0808, "cuParamSeti", 2000, "obsolete since CUDA 4.0, replaced by cuLaunchKernel")
refused(0x0809, "cuParamSetf", 2000, "obsolete since CUDA 4.0, replaced by cuLaunchKernel")
refused(0x080A, "cuParamSetv", 2000, "obsolete since CUDA 4.0, replaced by cuLaunchKernel")
refused(0x080B, "cuParamSetTexRef", 2000, "obsolete since CUDA 4.0, replaced by cuLaunchKernel")

# Occupancy.
call(0x080C, "cuOccupancyMaxActiveBlocksPerMultiprocessor", 6050, blocks=out(c_int),
     function=FUNCTION, block_size=c_int, shared=size)
call(0x080D, "cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags", 7000, blocks=out(c_int),
     function=FUNCTION, block_size=c_int, shared=size, flags=c_uint)
call(0x080E, "cuOccupancyAvailableDynamicSMemPerBlock", 10020, bytes=out(size), function=FUNCTION,
     blocks=c_int, block_size=c_int)

# These call back into the application, or read a launch configuration with attributes.
call(0x080F, "cuOccupancyMaxPotentialBlockSize", 6050, elsewhere=True,
     front="occupancy_max_potential_block_size", min_grid=out(c_int), block_size=out(c_int),
     function=FUNCTION, block_to_shared=address("CUoccupancyB2DSize"), shared=size, limit=c_int)
call(0x0810, "cuOccupancyMaxPotentialBlockSizeWithFlags", 7000, elsewhere=True,
     front="occupancy_max_potential_block_size_with_flags", min_grid=out(c_int),
     block_size=out(c_int), function=FUNCTION, block_to_shared=address("CUoccupancyB2DSize"),
     shared=size, limit=c_int, flags=c_uint)
call(0x0811, "cuOccupancyMaxPotentialClusterSize", 11070, elsewhere=True,
     front="occupancy_max_potential_cluster_size", cluster=out(c_int), function=FUNCTION,
     config=local("const CUlaunchConfig *"))
call(0x0812, "cuOccupancyMaxActiveClusters", 11070, elsewhere=True,
     front="occupancy_max_active_clusters", clusters=out(c_int), function=FUNCTION,
     config=local("const CUlaunchConfig *"))
