"""Short vectors for Numba: the inner tiles that its automatic vectorisation does not find, emitted as LLVM vectors.

Addresses are plain integers (`array.ctypes.data`), numbers are float32, offsets int32, and the shape of a tile is given
by constants in the caller's source. Nothing is checked: the caller owns the bounds and the slack behind its buffers.
"""

# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_FEATURES = llvm.get_host_cpu_features()
WIDE = bool(_FEATURES.get("avx512f", False))
"""whether the machine has 32 registers of 16 lanes; otherwise 8 lanes are used"""
if llvm.get_default_triple().startswith("x86_64") and not _FEATURES.get("fma", False):
    raise ImportError("the native kernels need fused multiply-add")

_FLOAT, _SHORT, _INT = ir.FloatType(), ir.IntType(32), ir.IntType(64)


class _Lanes:
    """Loads, stores and multiply-adds of `lanes` floats at a byte address held in an integer."""

    def __init__(self, builder, lanes: int):
        self.builder, self.type = builder, ir.VectorType(_FLOAT, lanes)
        self.first = ir.Constant(ir.VectorType(_SHORT, lanes), [0] * lanes)

    def offset(self, address, index, scale: int = 4):
        """address + scale * index; index is a Python int or an integer value of the program."""
        if isinstance(index, int):
            return self.builder.add(address, _INT(scale * index))
        return self.builder.add(address, self.builder.mul(index, _INT(scale)))

    def load(self, address, kind=None):
        pointer = self.builder.inttoptr(address, (kind or self.type).as_pointer())
        return self.builder.load(pointer, align=4)

    def store(self, value, address):
        self.builder.store(value, self.builder.inttoptr(address, self.type.as_pointer()), align=4)

    def spread(self, scalar):
        """The same number in every lane."""
        blank = ir.Constant(self.type, ir.Undefined)
        one = self.builder.insert_element(blank, scalar, _SHORT(0))
        return self.builder.shuffle_vector(one, blank, self.first)

    def slots(self, start: list):
        """Accumulators, one for each value of `start`; LLVM keeps them in registers."""
        slots = [cgutils.alloca_once(self.builder, self.type) for _ in start]
        for slot, value in zip(slots, start, strict=True):
            self.builder.store(value, slot)
        return slots

    def add(self, slot, a, b):
        """slot += a * b"""
        self.builder.store(self.fused(a, b, self.builder.load(slot)), slot)

    def fused(self, a, b, c):
        """a * b + c, rounded once"""
        kind = ir.FunctionType(self.type, [self.type] * 3)
        name = f"llvm.fma.v{self.type.count}f32"
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), [a, b, c])


def _constants(*kinds) -> list[int]:
    return [kind.literal_value for kind in kinds]


_NUMBERS = types.intp


@intrinsic(prefer_literal=True)
def product_tile(typingctx, lanes, vectors, pixels, x, w, start, out, rows, length, x_row, x_pixel):  # noqa: PLR0913
    """out[p, :] = start + sum_{r < rows, j < length} x[r * x_row + p * x_pixel + j] * w[r * length + j, :]

    for p < pixels; a row of out, start and w is vectors * lanes floats.
    """
    num_lanes, num_vectors, num_pixels = _constants(lanes, vectors, pixels)

    def emit(context, builder, signature, args):
        x, w, start, out, rows, length, x_row, x_pixel = args[3:]
        v, width = _Lanes(builder, num_lanes), num_lanes * num_vectors
        bias = [v.load(v.offset(start, num_lanes * i)) for i in range(num_vectors)]
        slots = v.slots(bias * num_pixels)
        skip = [builder.mul(x_pixel, _INT(4 * p)) for p in range(num_pixels)]
        with cgutils.for_range(builder, rows) as r:
            source = v.offset(x, builder.mul(r.index, x_row))
            factors = v.offset(w, builder.mul(builder.mul(r.index, length), _INT(width)))
            with cgutils.for_range(builder, length) as j:
                row = v.offset(factors, j.index, 4 * width)
                weights = [v.load(v.offset(row, num_lanes * i)) for i in range(num_vectors)]
                here = v.offset(source, j.index)
                for p in range(num_pixels):
                    value = v.spread(v.load(builder.add(here, skip[p]), _FLOAT))
                    for i in range(num_vectors):
                        v.add(slots[p * num_vectors + i], value, weights[i])
        for i, slot in enumerate(slots):
            v.store(builder.load(slot), v.offset(out, num_lanes * i))
        return context.get_dummy_value()

    return types.void(lanes, vectors, pixels, *[_NUMBERS] * 8), emit


@intrinsic(prefer_literal=True)
def winners_tile(typingctx, lanes, vectors, rows, factors, offsets, count, x, out, x_row):  # noqa: PLR0913
    """out[r, :] += sum_{n < count} factors[n] * x[offsets[n] + r * x_row + (0 .. vectors * lanes)] for r < rows."""
    num_lanes, num_vectors, num_rows = _constants(lanes, vectors, rows)

    def emit(context, builder, signature, args):
        factors, offsets, count, x, out, x_row = args[3:]
        v = _Lanes(builder, num_lanes)
        places = [v.offset(out, num_lanes * i) for i in range(num_rows * num_vectors)]
        slots = v.slots([v.load(place) for place in places])
        starts = [v.offset(x, builder.mul(x_row, _INT(r))) for r in range(num_rows)]
        with cgutils.for_range(builder, count) as n:
            factor = v.spread(v.load(v.offset(factors, n.index), _FLOAT))
            skip = builder.mul(builder.sext(v.load(v.offset(offsets, n.index), _SHORT), _INT), _INT(4))
            for r in range(num_rows):
                source = builder.add(starts[r], skip)
                for i in range(num_vectors):
                    v.add(slots[r * num_vectors + i], factor, v.load(v.offset(source, num_lanes * i)))
        for slot, place in zip(slots, places, strict=True):
            v.store(builder.load(slot), place)
        return context.get_dummy_value()

    return types.void(lanes, vectors, rows, *[_NUMBERS] * 6), emit


@intrinsic(prefer_literal=True)
def scatter_rows(typingctx, lanes, vectors, factors, offsets, count, w, out, rows, out_row):  # noqa: PLR0913
    """out[offsets[n] + r * out_row + (0 .. vectors * lanes)] += factors[n] * w[r, :] for n < count and r < rows."""
    num_lanes, num_vectors = _constants(lanes, vectors)

    def emit(context, builder, signature, args):
        factors, offsets, count, w, out, rows, out_row = args[2:]
        v = _Lanes(builder, num_lanes)
        with cgutils.for_range(builder, rows) as r:
            weights = v.offset(w, builder.mul(r.index, _INT(num_lanes * num_vectors)))
            values = [v.load(v.offset(weights, num_lanes * i)) for i in range(num_vectors)]
            target = v.offset(out, builder.mul(r.index, out_row))
            with cgutils.for_range(builder, count) as n:
                factor = v.spread(v.load(v.offset(factors, n.index), _FLOAT))
                row = v.offset(target, builder.sext(v.load(v.offset(offsets, n.index), _SHORT), _INT))
                for i in range(num_vectors):
                    place = v.offset(row, num_lanes * i)
                    v.store(v.fused(factor, values[i], v.load(place)), place)
        return context.get_dummy_value()

    return types.void(lanes, vectors, *[_NUMBERS] * 7), emit


@intrinsic
def turn_tile(typingctx, source, source_row, target, target_row):
    """target[j, i] = source[i, j] for i, j < 8; a row is source_row or target_row floats apart."""

    def emit(context, builder, signature, args):
        source, source_row, target, target_row = args
        v = _Lanes(builder, 8)
        rows = [v.load(v.offset(source, builder.mul(source_row, _INT(i)))) for i in range(8)]
        for span in (1, 2, 4):  # exchange the off-diagonal blocks of growing size
            low = [lane if not lane & span else lane - span + 8 for lane in range(8)]
            high = [lane + span if not lane & span else lane + 8 for lane in range(8)]
            turned = list(rows)
            for i in range(8):
                if not i & span:
                    for place, mask in ((i, low), (i + span, high)):
                        order = ir.Constant(ir.VectorType(_SHORT, 8), mask)
                        turned[place] = builder.shuffle_vector(rows[i], rows[i + span], order)
            rows = turned
        for j, row in enumerate(rows):
            v.store(row, v.offset(target, builder.mul(target_row, _INT(j))))
        return context.get_dummy_value()

    return types.void(*[_NUMBERS] * 4), emit


@intrinsic
def list_unlike(typingctx, x, c, place, step, values, places):
    """Of 16 entries of x those unlike c: x - c to values, place + i * step to places; returns their number. AVX-512."""

    def emit(context, builder, signature, args):
        x, c, place, step, values, places = args
        v = _Lanes(builder, 16)
        numbers, whole = v.load(x), ir.VectorType(_SHORT, 16)
        differs = builder.fcmp_unordered("!=", numbers, v.spread(c))
        blank = ir.Constant(whole, ir.Undefined)

        def everywhere(value):
            one = builder.insert_element(blank, builder.trunc(value, _SHORT), _SHORT(0))
            return builder.shuffle_vector(one, blank, v.first)

        where = builder.add(everywhere(place), builder.mul(everywhere(step), ir.Constant(whole, list(range(16)))))
        for kind, name, data, target in ((v.type, "f32", builder.fsub(numbers, v.spread(c)), values),
                                         (whole, "i32", where, places)):
            shape = ir.FunctionType(kind, [kind, kind, differs.type])
            packing = cgutils.get_or_insert_function(builder.module, shape, f"llvm.x86.avx512.mask.compress.v16{name}")
            packed = builder.call(packing, [data, ir.Constant(kind, None), differs])
            builder.store(packed, builder.inttoptr(target, kind.as_pointer()), align=4)
        return builder.zext(builder.ctpop(builder.bitcast(differs, ir.IntType(16))), _INT)

    return types.intp(types.intp, types.float32, *[types.intp] * 4), emit


def _pointer_to(kind, element):
    """An intrinsic that reads an integer as the address of elements."""

    @intrinsic
    def pointer(typingctx, address):
        def emit(context, builder, signature, args):
            return builder.inttoptr(args[0], element.as_pointer())

        return types.CPointer(kind)(types.intp), emit

    return pointer


float_pointer = _pointer_to(types.float32, _FLOAT)
long_pointer = _pointer_to(types.int64, _INT)
byte_pointer = _pointer_to(types.uint8, ir.IntType(8))
