"""Pickles of numpy arrays in plain containers, such as VOCASET's; whatever else a pickle asks for is refused, not run."""

import math
import os
import pickle
import pickletools
import re
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from talker_cli.errors import InputError


class _ArrayClass:
    """Stands for `numpy.ndarray` in a pickle, where it is only ever an argument."""

    __slots__ = ()


class _Dtype:
    """Stands for a numpy dtype of a plain kind: numpy's own `__setstate__` crashes on states that no numpy wrote."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "=", "|", b"<", b">", b"=", b"|"):
            raise pickle.UnpicklingError("a dtype of another byte order")
        swapped = {"<": "<", ">": ">", b"<": "<", b">": ">"}.get(state[1])
        if swapped is not None:
            self.dtype = self.dtype.newbyteorder("<" if swapped == "<" else ">")


class _Array:
    """Stands for an array until all is read: numpy's own `__setstate__` crashes on states that no numpy wrote."""

    __slots__ = ("array",)

    def __init__(self) -> None:
        self.array = np.empty(0, np.int8)

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise pickle.UnpicklingError("an array without its state")
        _, shape, kind, fortran, raw = state
        raw = raw.encode("latin1") if isinstance(raw, str) else raw
        sizes = isinstance(shape, tuple) and all(type(size) is int and size >= 0 for size in shape)
        if not sizes or not isinstance(kind, _Dtype) or not isinstance(raw, list if kind.dtype.hasobject else bytes):
            raise pickle.UnpicklingError("an array that is not of numbers")
        if isinstance(raw, list):  # an array of objects, which are what the pickle made of them
            if math.prod(shape) != len(raw) or kind.dtype != object:
                raise pickle.UnpicklingError("an array of another size than its objects")
            self.array = np.empty(len(raw), object)
            self.array[:] = [_arrays(each) for each in raw]
            self.array = self.array.reshape(shape, order="F" if fortran else "C")
            return
        if math.prod(shape) * kind.dtype.itemsize != len(raw):
            raise pickle.UnpicklingError("an array of another size than its bytes")
        # A copy: the bytes of a pickle cannot be written to.
        self.array = np.frombuffer(raw, kind.dtype).reshape(shape, order="F" if fortran else "C").copy(order="K")


class _MakeArray:
    """`numpy.core.multiarray._reconstruct`: an empty array, whose state comes with the pickle's next instruction."""

    __slots__ = ()

    def __call__(self, kind: object, shape: object, code: object) -> _Array:
        if not isinstance(kind, _ArrayClass) or shape != (0,):
            raise pickle.UnpicklingError("an array of a class of its own")
        return _Array()


class _MakeDtype:
    """`numpy.dtype` of a plain kind."""

    __slots__ = ()

    def __call__(self, name: object, *flags: object) -> _Dtype:
        if not isinstance(name, (str, bytes)):
            raise pickle.UnpicklingError("a dtype that is not named")
        text = name.decode("ascii") if isinstance(name, bytes) else name
        if not re.fullmatch("[A-Za-z?][0-9]{0,6}", text):
            raise pickle.UnpicklingError("a dtype of several parts")
        return _Dtype(np.dtype(text))


class _MakeScalar:
    """`numpy.core.multiarray.scalar`: one number of a dtype."""

    __slots__ = ()

    def __call__(self, kind: object, data: object) -> Any:
        if not isinstance(kind, _Dtype) or kind.dtype.hasobject:
            raise pickle.UnpicklingError("a scalar that is no number")
        raw = data.encode("latin1") if isinstance(data, str) else data
        if not isinstance(raw, bytes):
            raise pickle.UnpicklingError("a scalar without bytes")
        return np.frombuffer(raw, kind.dtype, 1)[0]


class _FromBuffer:
    """`numpy.core.numeric._frombuffer`: how protocol 5 holds an array."""

    __slots__ = ()

    def __call__(self, buffer: Any, kind: object, shape: Any, order: Any) -> np.ndarray:
        if not isinstance(kind, _Dtype) or kind.dtype.hasobject:
            raise pickle.UnpicklingError("an array that is not of numbers")
        return np.frombuffer(buffer, kind.dtype).reshape(shape, order=order)


class _Encode:
    """`_codecs.encode`: how Python 3 writes bytes for Python 2; latin1 and no other codec."""

    __slots__ = ()

    def __call__(self, text: object, codec: object = "latin1") -> bytes:
        if not isinstance(text, str) or codec != "latin1":
            raise pickle.UnpicklingError("bytes in another codec than latin1")
        return text.encode("latin1")


# numpy 1 calls the package numpy.core, numpy 2 numpy._core. Each stand-in has no attributes, so that none can be replaced.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _ArrayClass(),
    ("numpy", "dtype"): _MakeDtype(),
    ("_codecs", "encode"): _Encode(),
    ("collections", "OrderedDict"): OrderedDict,
}
for _core in ("numpy.core", "numpy._core"):
    _ALLOWED[f"{_core}.multiarray", "_reconstruct"] = _MakeArray()
    _ALLOWED[f"{_core}.multiarray", "scalar"] = _MakeScalar()
    _ALLOWED[f"{_core}.numeric", "_frombuffer"] = _FromBuffer()


OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}
MOST_OPCODES = 50_000_000
DEEPEST = 50  # containers inside containers; VOCASET's have 4
SPARE_WORK = 1_000_000  # values that containers may hold beyond those of the file, where one stands in several places
CHANGES = ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD")  # instructions that change a container
LENGTH_BYTES = {-2: 1, -3: 4, -4: 4, -5: 8}  # pickletools' kinds of arguments whose length comes first
LINES = {"GLOBAL": 2, "INST": 2}  # others have one


@dataclass(slots=True)
class _Size:
    """A value before it is made: how many values it holds, counted wherever they stand, and how deep they lie."""

    values: int = 1
    depth: int = 0


def _check_structure(stream: BinaryIO) -> None:
    """Walk through a pickle without making anything of it, and refuse one that would take for ever.

    A tuple in a tuple, 60 times, twice each, takes 90 bytes and is hashed 2^60 times as a dictionary's key; a tuple 100,000
    deep overflows the stack.

    Raises:
        UnpicklingError: the pickle is cut, too long, too deep, or holds its own parts too often.
    """
    end = os.fstat(stream.fileno()).st_size
    stack: list[_Size | None] = []  # None is a mark
    memo: dict[int, _Size] = {}
    work = 0
    for number in range(MOST_OPCODES):
        opcode = OPCODES.get(stream.read(1).decode("latin1"))
        if opcode is None:
            raise pickle.UnpicklingError("cut, or no pickle")
        name, argument = opcode.name, _argument(stream, opcode, end)
        if name == "STOP":
            return
        if "PUT" in name or name == "MEMOIZE":
            top = stack[-1]
            if top is None:
                raise pickle.UnpicklingError("a mark for a value")
            memo[len(memo) if name == "MEMOIZE" else argument] = top
            continue
        if "GET" in name:
            stack.append(memo[argument])
            continue
        if name == "DUP":
            stack.append(stack[-1])
            continue
        work += _apply(opcode, stack)
        if work > SPARE_WORK + 50 * number:
            raise pickle.UnpicklingError("containers that hold each other too often")
    raise pickle.UnpicklingError("too many instructions")


def _apply(opcode: pickletools.OpcodeInfo, stack: list[_Size | None]) -> int:
    """Let an instruction take its values from the stack and leave its own; return how many values it took."""
    before = opcode.stack_before
    taken: list[_Size] = []
    if pickletools.stackslice in before or pickletools.markobject in before:
        while (top := stack.pop()) is not None:
            taken.append(top)
        before = before[: before.index(pickletools.markobject)]
    for _ in before:
        if (top := stack.pop()) is None:
            raise pickle.UnpicklingError("a mark for a value")
        taken.append(top)
    values = sum(each.values for each in taken)
    depth = max((each.depth + 1 for each in taken), default=0)
    if depth > DEEPEST:
        raise pickle.UnpicklingError("containers too deep in each other")
    if opcode.stack_after == [pickletools.markobject]:
        stack.append(None)
    elif opcode.name in CHANGES:  # the container stays where it is, and in the memo
        container = taken[-1]
        container.values, container.depth = values, depth
        stack.append(container)
    else:
        stack.extend(_Size(values + 1, depth) for _ in opcode.stack_after)
    return values - taken[-1].values if opcode.name in CHANGES else values


def _argument(stream: BinaryIO, opcode: pickletools.OpcodeInfo, end: int) -> int:
    """Read past an instruction's argument; return it if it is the number of a place in the memo."""
    if opcode.arg is None:
        return 0
    size = opcode.arg.n
    if size == -1:  # up to the end of the line
        for _ in range(LINES.get(opcode.name, 1)):
            line = stream.readline()
        return int(line) if opcode.name in ("GET", "PUT") else 0
    if size < 0:
        size = int.from_bytes(stream.read(LENGTH_BYTES[size]), "little")
        if size > end - stream.tell():
            raise pickle.UnpicklingError("cut")
        stream.seek(size, os.SEEK_CUR)
        return 0
    return int.from_bytes(stream.read(size), "little")


class _Unpickler(pickle.Unpickler):
    """An unpickler that knows arrays, and no other class or function."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of what numpy writes; name anything else and refuse it."""
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise _Refused(f"{module}.{name}") from None


class _Refused(Exception):
    """A class or function that a pickle asked for."""


def _arrays(value: Any) -> Any:
    """Return a value with arrays in place of what stands for them; how deep it nests was checked."""
    if isinstance(value, _Array):
        return value.array
    if isinstance(value, _Dtype):
        return value.dtype
    if isinstance(value, dict):
        return type(value)((key, _arrays(each)) for key, each in value.items())
    if isinstance(value, list | tuple):
        return type(value)(_arrays(each) for each in value)
    return value


def load_pickle(path: Path) -> Any:
    """Return the content of a pickle of arrays, numbers, texts, lists, tuples and dictionaries, written by Python 2 or 3.

    Raises:
        InputError: the file is missing, damaged, or asks for anything else; the first such class or function is named.
    """
    try:
        with Path(path).open("rb") as stream:
            _check_structure(stream)
            stream.seek(0)
            return _arrays(_Unpickler(stream, encoding="latin1").load())
    except FileNotFoundError as error:
        raise InputError(f"no file {path}; expected a pickle of arrays; check the folder") from error
    except _Refused as error:
        raise InputError(
            f"{path} asks for {error}; expected arrays in plain containers, nothing else is unpickled; get the original file"
        ) from error
    # A damaged pickle ends in whatever its bytes happen to mean.
    except (pickle.UnpicklingError, EOFError, OSError, ArithmeticError, AttributeError, ImportError, LookupError, MemoryError,
            RecursionError, TypeError, ValueError) as error:  # fmt: skip
        raise InputError(
            f"{path} is not a whole pickle of arrays ({type(error).__name__}: {str(error)[:80]}); copy or download it again"
        ) from error
