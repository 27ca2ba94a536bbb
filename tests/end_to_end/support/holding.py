# SPDX-License-Identifier: Apache-2.0
"""For test scripts: every kind of thing that takes device memory, taken and given back on demand.

A kind is a class: `take(size)` returns what `give(thing)` takes, or raises Failed.
"""

import struct
import sys

from cu import Failed, alloc, check, ffi, hear, lib, out, say, start, stream

MiB = 1 << 20
STACK, PRINTF, HEAP = range(3)
KINDS = {}


def kind(cls):
    KINDS[cls.__name__] = cls
    return cls


def memory_left():
    """What the zone may have beside what it has."""
    left, total = ffi.new("size_t *"), ffi.new("size_t *")
    check(lib.cuMemGetInfo_v2(left, total))
    return left[0]


def location(number=0):
    """CUmemLocation of a device."""
    return struct.pack("=ii", 1, number)


def variable(size):
    """An image with one variable."""
    return (
        b""".version 7.0
.target sm_75
.address_size 64
.visible .global .align 4 .b8 large[%d];
.visible .entry nothing() { ret; }
\0"""
        % size
    )


@kind
class Memory:
    take = staticmethod(alloc)

    @staticmethod
    def give(address):
        check(lib.cuMemFree_v2(address))


@kind
class Pitched(Memory):
    @staticmethod
    def take(size):
        pitch = ffi.new("size_t *")
        return out("CUdeviceptr", lambda p: lib.cuMemAllocPitch_v2(p, pitch, MiB, size // MiB, 4))


@kind
class FreedInOrder(Memory):
    """Memory of no pool, freed in the order of a stream."""

    def __init__(self):
        self.stream = stream()

    def give(self, address):
        check(lib.cuMemFreeAsync(address, self.stream))
        check(lib.cuStreamSynchronize(self.stream))


@kind
class Async(FreedInOrder):
    """Out of the device's pool."""

    def take(self, size):
        return out("CUdeviceptr", lambda p: lib.cuMemAllocAsync(p, size, self.stream))


@kind
class AsyncFreed(Async):
    give = staticmethod(Memory.give)


def make_pool():
    # CUmemPoolProps: pinned, no handle, the device
    properties = struct.pack("=ii", 1, 0) + location()
    raw = ffi.new("char[]", properties.ljust(88, b"\0"))
    return out("CUmemoryPool", lambda p: lib.cuMemPoolCreate(p, ffi.cast("void *", raw)))


def set_threshold(pool, threshold):
    value = ffi.new("cuuint64_t *", threshold)
    check(lib.cuMemPoolSetAttribute(pool, 4, ffi.cast("void *", value)))


@kind
class OwnPool:
    """Out of a pool of one's own, which is destroyed before its memory is freed."""

    def __init__(self):
        self.stream = stream()

    def take(self, size):
        pool = make_pool()
        try:
            return out(
                "CUdeviceptr", lambda p: lib.cuMemAllocFromPoolAsync(p, size, pool, self.stream)
            )
        finally:
            check(lib.cuMemPoolDestroy(pool))

    def give(self, address):
        check(lib.cuMemFreeAsync(address, self.stream))
        check(lib.cuStreamSynchronize(self.stream))


@kind
class KeptByPool:
    """Nothing but what a pool keeps after a free."""

    def __init__(self):
        self.stream = stream()

    def take(self, size):
        pool = make_pool()
        set_threshold(pool, 1 << 40)
        try:
            address = out(
                "CUdeviceptr", lambda p: lib.cuMemAllocFromPoolAsync(p, size, pool, self.stream)
            )
        except Failed:
            check(lib.cuMemPoolDestroy(pool))
            raise
        check(lib.cuMemFreeAsync(address, self.stream))
        check(lib.cuStreamSynchronize(self.stream))
        return pool

    def give(self, pool):
        check(lib.cuMemPoolTrimTo(pool, 0))
        check(lib.cuMemPoolDestroy(pool))


@kind
class Array:
    @staticmethod
    def take(size):
        # CUDA_ARRAY_DESCRIPTOR: a MiB wide, one byte a texel
        raw = ffi.new("char[]", struct.pack("=QQII", 1 << 16, size >> 16, 1, 1))
        return out("CUarray", lambda p: lib.cuArrayCreate_v2(p, ffi.cast("void *", raw)))

    @staticmethod
    def give(array):
        check(lib.cuArrayDestroy(array))


@kind
class Layers(Array):
    @staticmethod
    def take(size):
        raw = ffi.new("char[]", struct.pack("=QQQIIII", 512, 512, size >> 20, 32, 1, 1, 0))
        return out("CUarray", lambda p: lib.cuArray3DCreate_v2(p, ffi.cast("void *", raw)))


@kind
class Physical:
    @staticmethod
    def take(size):
        # CUmemAllocationProp: pinned, no handle, the device
        properties = (struct.pack("=ii", 1, 0) + location()).ljust(32, b"\0")
        raw = ffi.cast("void *", ffi.new("char[]", properties))
        return out("CUmemGenericAllocationHandle", lambda p: lib.cuMemCreate(p, size, raw, 0))

    @staticmethod
    def give(item):
        check(lib.cuMemRelease(item))


@kind
class Mapped:
    """Physical memory that has lost its handle and is mapped."""

    @staticmethod
    def take(size):
        item = Physical.take(size)
        address = out("CUdeviceptr", lambda p: lib.cuMemAddressReserve(p, size, 0, 0, 0))
        check(lib.cuMemMap(address, size, 0, item, 0))
        check(lib.cuMemRelease(item))
        return address, size

    @staticmethod
    def give(thing):
        check(lib.cuMemUnmap(*thing))
        check(lib.cuMemAddressFree(*thing))


@kind
class Module:
    @staticmethod
    def take(size):
        return out("CUmodule", lambda p: lib.cuModuleLoadData(p, variable(size)))

    @staticmethod
    def give(module):
        check(lib.cuModuleUnload(module))


@kind
class ModuleVariable(Module):
    """The variable is asked for, which must not charge it again."""

    @staticmethod
    def take(size):
        module = Module.take(size)
        bytes_ = ffi.new("size_t *")
        out("CUdeviceptr", lambda p: lib.cuModuleGetGlobal_v2(p, bytes_, module, b"large"))
        assert bytes_[0] == size
        return module


@kind
class Library:
    @staticmethod
    def take(size):
        n = ffi.NULL
        image = variable(size)
        library = out("CUlibrary", lambda p: lib.cuLibraryLoadData(p, image, n, n, 0, n, n, 0))
        bytes_ = ffi.new("size_t *")
        out("CUdeviceptr", lambda p: lib.cuLibraryGetGlobal(p, bytes_, library, b"large"))
        return library

    @staticmethod
    def give(library):
        check(lib.cuLibraryUnload(library))


@kind
class Linked(Module):
    @staticmethod
    def take(size):
        n, image = ffi.NULL, variable(size)
        link = out("CUlinkState", lambda p: lib.cuLinkCreate_v2(0, n, n, p))
        try:
            check(lib.cuLinkAddData_v2(link, 1, image, len(image), b"large", 0, n, n))
            size_ = ffi.new("size_t *")
            linked = out("void *", lambda p: lib.cuLinkComplete(link, p, size_))
            return out("CUmodule", lambda p: lib.cuModuleLoadData(p, linked))
        finally:
            check(lib.cuLinkDestroy(link))


class Captured:
    """What a captured allocation becomes."""

    def __init__(self):
        self.stream = stream()

    def capture(self, size, free):
        check(lib.cuStreamBeginCapture_v2(self.stream, 2))
        address, error = 0, None
        try:
            address = out("CUdeviceptr", lambda p: lib.cuMemAllocAsync(p, size, self.stream))
            check(lib.cuMemsetD8Async(address, 1, size, self.stream))
            if free:
                check(lib.cuMemFreeAsync(address, self.stream))
        except Failed as failed:
            error = failed
        graph = out("CUgraph", lambda p: lib.cuStreamEndCapture(self.stream, p))
        if error:
            check(lib.cuGraphDestroy(graph))
            raise error
        return graph, address

    def launch(self, graph):
        try:
            run = out("CUgraphExec", lambda p: lib.cuGraphInstantiateWithFlags(p, graph, 0))
        except Failed:
            check(lib.cuGraphDestroy(graph))
            raise
        for _ in range(2):
            check(lib.cuGraphLaunch(run, self.stream))
            check(lib.cuStreamSynchronize(self.stream))
        return run


@kind
class Graph(Captured):
    """A graph that allocates and frees: the driver keeps the memory for its next launch."""

    def take(self, size):
        graph, _ = self.capture(size, free=True)
        return graph, self.launch(graph)

    def give(self, thing):
        graph, run = thing
        check(lib.cuGraphExecDestroy(run))
        check(lib.cuGraphDestroy(graph))


@kind
class LeftByGraph(Captured):
    """What a graph has allocated and not freed outlives it."""

    def take(self, size):
        graph, address = self.capture(size, free=False)
        run = self.launch(graph)
        check(lib.cuGraphExecDestroy(run))
        check(lib.cuGraphDestroy(graph))
        return address

    def give(self, address):
        check(lib.cuMemFree_v2(address))


class Limit:
    """A limit of the context beyond what it began with."""

    limit = HEAP

    def __init__(self):
        self.first = out("size_t", lambda p: lib.cuCtxGetLimit(p, self.limit))
        self.more = 0

    def copies(self):
        return 1

    def take(self, size):
        more = self.more + size
        check(lib.cuCtxSetLimit(self.limit, self.first + -(-more // self.copies())))
        self.more = more
        return size

    def give(self, size):
        self.more -= size
        check(lib.cuCtxSetLimit(self.limit, self.first + -(-self.more // self.copies())))


@kind
class Heap(Limit):
    """The heap of malloc in kernels."""


@kind
class Printf(Limit):
    limit = PRINTF


@kind
class Stack(Limit):
    """Each thread that the device can hold has one."""

    limit = STACK

    def copies(self):
        value, product = ffi.new("int *"), 1
        for attribute in (16, 39):
            check(lib.cuDeviceGetAttribute(value, attribute, 0))
            product *= value[0]
        return product


@kind
class Context:
    """Takes what the zone's configuration says, whatever size is asked for."""

    @staticmethod
    def take(_size):
        context = out("CUcontext", lambda p: lib.cuCtxCreate_v2(p, 0, 0))
        check(lib.cuCtxPopCurrent_v2(ffi.NULL))
        return context

    @staticmethod
    def give(context):
        check(lib.cuCtxDestroy_v2(context))


@kind
class Green:
    """A green context with all multiprocessors."""

    @staticmethod
    def take(_size):
        whole = ffi.new("CUdevResource *")
        check(lib.cuDeviceGetDevResource(0, whole, 1))
        description = out("CUdevResourceDesc", lambda p: lib.cuDevResourceGenerateDesc(p, whole, 1))
        green = out("CUgreenCtx", lambda p: lib.cuGreenCtxCreate(p, description, 0, 1))
        out("CUcontext", lambda p: lib.cuCtxFromGreenCtx(p, green))
        return green

    @staticmethod
    def give(green):
        check(lib.cuGreenCtxDestroy(green))


def serve(name):
    """Do what the test says, line by line: take SIZE, give, reset, end."""
    start()
    holder, things = KINDS[name](), []
    say("ready")
    while True:
        word, *arguments = hear().split() or ["end"]
        if word == "take":
            try:
                things.append(holder.take(int(arguments[0])))
                say(0)
            except Failed as error:
                say(error.status)
        elif word == "give":
            while things:
                holder.give(things.pop())
            say("given")
        elif word == "reset":
            check(lib.cuDevicePrimaryCtxReset_v2(0))
            things.clear()
            start()
            holder = KINDS[name]()
            say("reset")
        else:
            sys.exit(0)
