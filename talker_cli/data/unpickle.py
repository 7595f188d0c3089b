"""Pickles of numpy arrays in plain containers, such as VOCASET's; whatever else a pickle asks for is refused, not run."""

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.errors import InputError


class _ArrayClass:
    """Stands for `numpy.ndarray` in a pickle, where it is only ever an argument."""

    __slots__ = ()


class _MakeArray:
    """`numpy.core.multiarray._reconstruct`: an empty array, whose state comes with the pickle's next instruction."""

    __slots__ = ()

    def __call__(self, kind: object, shape: object, code: object) -> np.ndarray:
        if not isinstance(kind, _ArrayClass) or shape != (0,):
            raise pickle.UnpicklingError("an array of a class of its own")
        return np.empty(0, np.int8)


class _MakeDtype:
    """`numpy.dtype` of a plain kind."""

    __slots__ = ()

    def __call__(self, name: object, *flags: object) -> np.dtype:
        if not isinstance(name, (str, bytes)):
            raise pickle.UnpicklingError("a dtype that is not named")
        # A copy: the pickle's next instruction sets its byte order, and the original is everybody's.
        return np.dtype(name.decode("ascii") if isinstance(name, bytes) else name, False, True)


class _MakeScalar:
    """`numpy.core.multiarray.scalar`: one number of a dtype."""

    __slots__ = ()

    def __call__(self, kind: object, data: object) -> Any:
        if not isinstance(kind, np.dtype) or kind.hasobject:
            raise pickle.UnpicklingError("a scalar that is no number")
        raw = data.encode("latin1") if isinstance(data, str) else data
        if not isinstance(raw, bytes):
            raise pickle.UnpicklingError("a scalar without bytes")
        return np.frombuffer(raw, kind, 1)[0]


class _FromBuffer:
    """`numpy.core.numeric._frombuffer`: how protocol 5 holds an array."""

    __slots__ = ()

    def __call__(self, buffer: Any, kind: object, shape: Any, order: Any) -> np.ndarray:
        if not isinstance(kind, np.dtype) or kind.hasobject:
            raise pickle.UnpicklingError("an array that is not of numbers")
        return np.frombuffer(buffer, kind).reshape(shape, order=order)


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


def load_pickle(path: Path) -> Any:
    """Return the content of a pickle of arrays, numbers, texts, lists, tuples and dictionaries, written by Python 2 or 3.

    Raises:
        InputError: the file is missing, damaged, or asks for anything else; the first such class or function is named.
    """
    try:
        with Path(path).open("rb") as stream:
            return _Unpickler(stream, encoding="latin1").load()
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
