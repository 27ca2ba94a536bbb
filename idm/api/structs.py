# SPDX-License-Identifier: Apache-2.0
"""Structures that cross the ring, with their sizes on x86-64.

The names are the C names, which `idm/csrc/cuda_abi.h` declares; the compiler checks each size
against that header and, where one is installed, against the vendor's. No structure here changed its
size between CUDA 11.8 and 13.5.
"""

from __future__ import annotations

from .types import struct

# Plain words behind a pointer that the prototype calls `void *` or `float *`.
WORD = struct("cuuint64_t", 8)
FLAG = struct("unsigned int", 4)
COLOR = struct("idm_color", 16)  # four floats

CUuuid = struct("CUuuid", 16)
CUdevprop = struct("CUdevprop", 56)
CUdevResource = struct("CUdevResource", 144)
CUexecAffinityParam = struct("CUexecAffinityParam", 8)

CUmemLocation = struct("CUmemLocation", 8)
CUmemAccessDesc = struct("CUmemAccessDesc", 12)
CUmemAllocationProp = struct("CUmemAllocationProp", 32)
CUmemPoolProps = struct("CUmemPoolProps", 88)

CUDA_MEMCPY2D = struct("CUDA_MEMCPY2D", 128)
CUDA_MEMCPY3D = struct("CUDA_MEMCPY3D", 200)
CUDA_MEMCPY3D_PEER = struct("CUDA_MEMCPY3D_PEER", 200)

CUstreamAttrValue = struct("CUstreamAttrValue", 64)
CUkernelNodeAttrValue = struct("CUkernelNodeAttrValue", 64)
CUstreamBatchMemOpParams = struct("CUstreamBatchMemOpParams", 48)

CUgraphEdgeData = struct("CUgraphEdgeData", 8)
CUDA_MEMSET_NODE_PARAMS = struct("CUDA_MEMSET_NODE_PARAMS", 40)
CUDA_HOST_NODE_PARAMS = struct("CUDA_HOST_NODE_PARAMS", 16)
CUDA_GRAPH_INSTANTIATE_PARAMS = struct("CUDA_GRAPH_INSTANTIATE_PARAMS", 32)
CUgraphNodeParams = struct("CUgraphNodeParams", 256)
CUgraphExecUpdateResultInfo = struct("CUgraphExecUpdateResultInfo", 24)

CUDA_ARRAY_DESCRIPTOR = struct("CUDA_ARRAY_DESCRIPTOR", 24)
CUDA_ARRAY3D_DESCRIPTOR = struct("CUDA_ARRAY3D_DESCRIPTOR", 40)
CUDA_ARRAY_MEMORY_REQUIREMENTS = struct("CUDA_ARRAY_MEMORY_REQUIREMENTS", 32)
CUDA_ARRAY_SPARSE_PROPERTIES = struct("CUDA_ARRAY_SPARSE_PROPERTIES", 48)
CUDA_RESOURCE_DESC = struct("CUDA_RESOURCE_DESC", 144)
CUDA_RESOURCE_VIEW_DESC = struct("CUDA_RESOURCE_VIEW_DESC", 112)
CUDA_TEXTURE_DESC = struct("CUDA_TEXTURE_DESC", 104)
CUtensorMap = struct("CUtensorMap", 128)

CUipcMemHandle = struct("CUipcMemHandle", 64)
CUipcEventHandle = struct("CUipcEventHandle", 64)
