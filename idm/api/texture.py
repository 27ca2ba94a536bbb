# SPDX-License-Identifier: Apache-2.0
"""Arrays, mipmapped arrays, textures, surfaces and tensor maps."""

from __future__ import annotations

from .common import ARRAY, MIPMAPPED_ARRAY, TEXTURE_REFERENCE
from .structs import (
    COLOR,
    CUDA_ARRAY3D_DESCRIPTOR,
    CUDA_ARRAY_DESCRIPTOR,
    CUDA_ARRAY_MEMORY_REQUIREMENTS,
    CUDA_ARRAY_SPARSE_PROPERTIES,
    CUDA_RESOURCE_DESC,
    CUDA_RESOURCE_VIEW_DESC,
    CUDA_TEXTURE_DESC,
    CUtensorMap,
)
from .table import call, refused
from .types import (
    array_in,
    c_float,
    c_int,
    c_uint,
    creates,
    device,
    device_ptr,
    device_range,
    drops,
    enum,
    inout,
    out,
    scalar,
    size,
    spelled,
    struct_in,
    u32,
    u64,
)

# Rows are read as lines of a table, so the formatter leaves them alone.
# fmt: off

# Arrays.
call(0x0A00, "cuArrayCreate_v2", 3020, unsafe=True, handler="array_create", array=creates(ARRAY),
     descriptor=struct_in(CUDA_ARRAY_DESCRIPTOR))
call(0x0A01, "cuArray3DCreate_v2", 3020, unsafe=True, handler="array_3d_create",
     array=creates(ARRAY), descriptor=struct_in(CUDA_ARRAY3D_DESCRIPTOR))
call(0x0A02, "cuArrayGetDescriptor_v2", 3020, descriptor=out(CUDA_ARRAY_DESCRIPTOR), array=ARRAY)
call(0x0A03, "cuArray3DGetDescriptor_v2", 3020, descriptor=out(CUDA_ARRAY3D_DESCRIPTOR),
     array=ARRAY)
call(0x0A04, "cuArrayDestroy", 2000, unsafe=True, lane=True, array=drops(ARRAY))
call(0x0A05, "cuArrayGetPlane", 11020, plane=creates(ARRAY, parent="array"), array=ARRAY,
     index=c_uint)
call(0x0A06, "cuArrayGetMemoryRequirements", 11060,
     requirements=out(CUDA_ARRAY_MEMORY_REQUIREMENTS), array=ARRAY, dev=device)
call(0x0A07, "cuArrayGetSparseProperties", 11010, properties=out(CUDA_ARRAY_SPARSE_PROPERTIES),
     array=ARRAY)
call(0x0A08, "cuMipmappedArrayCreate", 5000, unsafe=True, handler="mipmapped_array_create",
     array=creates(MIPMAPPED_ARRAY), descriptor=struct_in(CUDA_ARRAY3D_DESCRIPTOR), levels=c_uint)
call(0x0A09, "cuMipmappedArrayDestroy", 5000, unsafe=True, lane=True, array=drops(MIPMAPPED_ARRAY))
call(0x0A0A, "cuMipmappedArrayGetLevel", 5000, level_array=creates(ARRAY, parent="array"),
     array=MIPMAPPED_ARRAY, level=c_uint)
call(0x0A0B, "cuMipmappedArrayGetMemoryRequirements", 11060,
     requirements=out(CUDA_ARRAY_MEMORY_REQUIREMENTS), array=MIPMAPPED_ARRAY, dev=device)
call(0x0A0C, "cuMipmappedArrayGetSparseProperties", 11010,
     properties=out(CUDA_ARRAY_SPARSE_PROPERTIES), array=MIPMAPPED_ARRAY)
refused(0x0A0D, "cuArrayCreate", 2000, "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x0A0E, "cuArrayGetDescriptor", 2000,
     "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x0A0F, "cuArray3DCreate", 2000, "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x0A10, "cuArray3DGetDescriptor", 2000,
     "obsolete 32-bit interface, replaced by the _v2 function")

# Texture and surface objects are numbers that kernels use, so the driver's own go to the
# application; the worker knows which ones the session has. A resource descriptor names an array or
# an address.
_TEXTURE = scalar("CUtexObject", 8)
_SURFACE = scalar("CUsurfObject", 8)
call(0x0A11, "cuTexObjectCreate", 5000, handler="tex_object_create", texture=out(_TEXTURE),
     resource=struct_in(CUDA_RESOURCE_DESC), description=struct_in(CUDA_TEXTURE_DESC),
     view=struct_in(CUDA_RESOURCE_VIEW_DESC, null=True))
call(0x0A12, "cuTexObjectDestroy", 5000, handler="tex_object_destroy", texture=_TEXTURE)
call(0x0A13, "cuTexObjectGetResourceDesc", 5000, handler="tex_object_get_resource_desc",
     resource=out(CUDA_RESOURCE_DESC), texture=_TEXTURE)
call(0x0A14, "cuTexObjectGetTextureDesc", 5000, handler="tex_object_describe",
     description=out(CUDA_TEXTURE_DESC), texture=_TEXTURE)
call(0x0A15, "cuTexObjectGetResourceViewDesc", 5000, handler="tex_object_describe",
     view=out(CUDA_RESOURCE_VIEW_DESC), texture=_TEXTURE)
call(0x0A16, "cuSurfObjectCreate", 5000, handler="surf_object_create", surface=out(_SURFACE),
     resource=struct_in(CUDA_RESOURCE_DESC))
call(0x0A17, "cuSurfObjectDestroy", 5000, handler="surf_object_destroy", surface=_SURFACE)
call(0x0A18, "cuSurfObjectGetResourceDesc", 5000, handler="surf_object_get_resource_desc",
     resource=out(CUDA_RESOURCE_DESC), surface=_SURFACE)

# Texture references: deprecated, but programs of CUDA 11 have them.
call(0x0A19, "cuTexRefCreate", 2000, reference=creates(TEXTURE_REFERENCE))
call(0x0A1A, "cuTexRefDestroy", 2000, reference=drops(TEXTURE_REFERENCE))
call(0x0A1B, "cuTexRefSetArray", 2000, reference=TEXTURE_REFERENCE, array=ARRAY, flags=c_uint)
call(0x0A1C, "cuTexRefSetMipmappedArray", 5000, reference=TEXTURE_REFERENCE, array=MIPMAPPED_ARRAY,
     flags=c_uint)
call(0x0A1D, "cuTexRefSetAddress_v2", 3020, offset=out(size, null=True),
     reference=TEXTURE_REFERENCE, dptr=device_range("bytes", "r"), bytes=size)
call(0x0A1E, "cuTexRefSetAddress2D_v2", 3020,
     handler="tex_ref_set_address_2d", reference=TEXTURE_REFERENCE,
     descriptor=struct_in(CUDA_ARRAY_DESCRIPTOR), dptr=device_ptr, pitch=size)
call(0x0A1F, "cuTexRefSetAddress2D_v3", 4010,
     handler="tex_ref_set_address_2d", reference=TEXTURE_REFERENCE,
     descriptor=struct_in(CUDA_ARRAY_DESCRIPTOR), dptr=device_ptr, pitch=size)
call(0x0A20, "cuTexRefSetFormat", 2000, reference=TEXTURE_REFERENCE, format=enum("CUarray_format"),
     components=c_int)
call(0x0A21, "cuTexRefSetAddressMode", 2000, reference=TEXTURE_REFERENCE, dimension=c_int,
     mode_=enum("CUaddress_mode"))
call(0x0A22, "cuTexRefSetFilterMode", 2000, reference=TEXTURE_REFERENCE,
     mode_=enum("CUfilter_mode"))
call(0x0A23, "cuTexRefSetMipmapFilterMode", 5000, reference=TEXTURE_REFERENCE,
     mode_=enum("CUfilter_mode"))
call(0x0A24, "cuTexRefSetMipmapLevelBias", 5000, reference=TEXTURE_REFERENCE, bias=c_float)
call(0x0A25, "cuTexRefSetMipmapLevelClamp", 5000, reference=TEXTURE_REFERENCE, least=c_float,
     greatest=c_float)
call(0x0A26, "cuTexRefSetMaxAnisotropy", 5000, reference=TEXTURE_REFERENCE, anisotropy=c_uint)
call(0x0A27, "cuTexRefSetBorderColor", 8000, reference=TEXTURE_REFERENCE,
     color=spelled(struct_in(COLOR), "float *"))
call(0x0A28, "cuTexRefSetFlags", 2000, reference=TEXTURE_REFERENCE, flags=c_uint)
call(0x0A29, "cuTexRefGetAddress_v2", 3020, dptr=out(device_ptr), reference=TEXTURE_REFERENCE)
call(0x0A2A, "cuTexRefGetArray", 2000, array=out(ARRAY), reference=TEXTURE_REFERENCE)
call(0x0A2B, "cuTexRefGetMipmappedArray", 5000, array=out(MIPMAPPED_ARRAY),
     reference=TEXTURE_REFERENCE)
call(0x0A2C, "cuTexRefGetAddressMode", 2000, mode_=out(enum("CUaddress_mode")),
     reference=TEXTURE_REFERENCE, dimension=c_int)
call(0x0A2D, "cuTexRefGetFilterMode", 2000, mode_=out(enum("CUfilter_mode")),
     reference=TEXTURE_REFERENCE)
call(0x0A2E, "cuTexRefGetFormat", 2000, format=out(enum("CUarray_format")), channels=out(c_int),
     reference=TEXTURE_REFERENCE)
call(0x0A2F, "cuTexRefGetMipmapFilterMode", 5000, mode_=out(enum("CUfilter_mode")),
     reference=TEXTURE_REFERENCE)
call(0x0A30, "cuTexRefGetMipmapLevelBias", 5000, bias=out(c_float), reference=TEXTURE_REFERENCE)
call(0x0A31, "cuTexRefGetMipmapLevelClamp", 5000, least=out(c_float), greatest=out(c_float),
     reference=TEXTURE_REFERENCE)
call(0x0A32, "cuTexRefGetMaxAnisotropy", 5000, anisotropy=out(c_int), reference=TEXTURE_REFERENCE)
call(0x0A33, "cuTexRefGetBorderColor", 8000, color=spelled(out(COLOR), "float *"),
     reference=TEXTURE_REFERENCE)
call(0x0A34, "cuTexRefGetFlags", 2000, flags=out(c_uint), reference=TEXTURE_REFERENCE)
refused(0x0A35, "cuTexRefSetAddress", 2000,
     "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x0A36, "cuTexRefSetAddress2D", 2020,
     "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x0A37, "cuTexRefGetAddress", 2000,
     "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x0A38, "cuSurfRefSetArray", 3000,
     "surface references were replaced by surface objects in CUDA 5.0")
refused(0x0A39, "cuSurfRefGetArray", 3000,
     "surface references were replaced by surface objects in CUDA 5.0")

# Tensor maps. Some arrays are shorter than the rank: the front end fills them up to it.
call(0x0A3A, "cuTensorMapEncodeTiled", 12000, front="tensor_map_encode_tiled",
     handler="tensor_map_encode", no_context=True, map_=out(CUtensorMap),
     kind=enum("CUtensorMapDataType"), rank=u32,
     location=spelled(device_ptr, "void *"), dimensions=array_in(u64, "rank"),
     strides=array_in(u64, "rank", null=True), box=array_in(u32, "rank"),
     element_strides=array_in(u32, "rank"), interleave=enum("CUtensorMapInterleave"),
     swizzle=enum("CUtensorMapSwizzle"), promotion=enum("CUtensorMapL2promotion"),
     fill=enum("CUtensorMapFloatOOBfill"))
call(0x0A3B, "cuTensorMapEncodeIm2col", 12000, front="tensor_map_encode_im2col",
     handler="tensor_map_encode", no_context=True, map_=out(CUtensorMap),
     kind=enum("CUtensorMapDataType"), rank=u32,
     location=spelled(device_ptr, "void *"), dimensions=array_in(u64, "rank"),
     strides=array_in(u64, "rank"), lower=array_in(c_int, "rank"), upper=array_in(c_int, "rank"),
     channels=u32, pixels=u32, element_strides=array_in(u32, "rank"),
     interleave=enum("CUtensorMapInterleave"), swizzle=enum("CUtensorMapSwizzle"),
     promotion=enum("CUtensorMapL2promotion"), fill=enum("CUtensorMapFloatOOBfill"))
call(0x0A3C, "cuTensorMapEncodeIm2colWide", 12080, front="tensor_map_encode_im2col_wide",
     handler="tensor_map_encode", no_context=True, map_=out(CUtensorMap),
     kind=enum("CUtensorMapDataType"), rank=u32,
     location=spelled(device_ptr, "void *"), dimensions=array_in(u64, "rank"),
     strides=array_in(u64, "rank"), lower=c_int, upper=c_int, channels=u32, pixels=u32,
     element_strides=array_in(u32, "rank"), interleave=enum("CUtensorMapInterleave"),
     mode_=enum("CUtensorMapIm2ColWideMode"), swizzle=enum("CUtensorMapSwizzle"),
     promotion=enum("CUtensorMapL2promotion"), fill=enum("CUtensorMapFloatOOBfill"))
call(0x0A3D, "cuTensorMapReplaceAddress", 12000, no_context=True, map_=inout(CUtensorMap),
     location=spelled(device_ptr, "void *"))
refused(0x0A3E, "cuTensorMapSetAllocationClass", 13050,
     "classes of tensor maps are not offered yet")
