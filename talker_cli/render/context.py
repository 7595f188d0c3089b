"""OpenGL contexts for drawing off screen, as pyrender makes them. The only module that imports pyrender and PyOpenGL."""

import ctypes
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from talker_cli.errors import MachineError

PACKAGES = "libegl1 libgl1 libgl1-mesa-dri"
# Variables of the environment that choose drivers, and with a wrong value leave none.
STEERING = ("EGL_PLATFORM", "__EGL_VENDOR_LIBRARY_FILENAMES", "__EGL_VENDOR_LIBRARY_DIRS", "MESA_LOADER_DRIVER_OVERRIDE",
            "GALLIUM_DRIVER", "LIBGL_DRIVERS_PATH", "MESA_GL_VERSION_OVERRIDE", "MESA_GLSL_VERSION_OVERRIDE")  # fmt: skip


@dataclass(frozen=True)
class Context:
    """A context that is open.

    Args:
        gl: PyOpenGL's module.
        shaders: Its module that compiles shaders.
        make_current: Makes it this thread's.
        close: Frees it, and nothing of other contexts.
    """

    gl: Any
    shaders: Any
    make_current: Callable[[], None]
    close: Callable[[], None]


def open_context(size: tuple[int, int]) -> Context:
    """Return a context that is current: of EGL, on a GPU or else on Mesa's software driver; of a hidden window without EGL.

    Raises:
        MachineError: no OpenGL library or driver.
    """
    # PyOpenGL chooses its library once, at its import. Other programs' instructions leave osmesa there as a rule.
    os.environ.pop("PYOPENGL_PLATFORM", None)
    if has_egl := _has_egl():
        os.environ["PYOPENGL_PLATFORM"] = "egl"
    problem = "no device"
    try:
        import OpenGL

        OpenGL.ERROR_LOGGING = False
        from OpenGL import GL as gl
        from OpenGL.arrays.ctypesparameters import CtypesParameterHandler
        from OpenGL.GL import shaders

        # PyOpenGL 3.1.0, which pyrender asks for, knows the type of a reference by a name that it has not from Python 3.12 on.
        CtypesParameterHandler().register(CtypesParameterHandler.HANDLED_TYPES)
        for platform, close in _egl_platforms(size) if has_egl else _window_platforms(size):
            try:
                platform.init_context()
                platform.make_current()
                return Context(gl, shaders, platform.make_current, close)
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
    except Exception as error:  # PyOpenGL raises ImportError, AttributeError or TypeError for a library that is not there
        raise MachineError(_no_opengl(f"{type(error).__name__}: {error}")) from error
    raise MachineError(_no_opengl(problem))


def _has_egl() -> bool:
    """Return whether EGL has a device to draw on: PyOpenGL must know before its import."""
    try:
        egl = ctypes.CDLL("libEGL.so.1")
    except OSError:
        return False
    egl.eglGetProcAddress.restype = ctypes.c_void_p
    place = egl.eglGetProcAddress(b"eglQueryDevicesEXT")
    if not place:
        return False
    count = ctypes.c_int(0)
    query = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int))(place)
    return bool(query(0, None, ctypes.byref(count))) and count.value > 0


def _egl_platforms(size: tuple[int, int]) -> Iterator[tuple[Any, Callable[[], None]]]:
    import pyglet

    # pyrender loads it in any case, and for windows it would need libraries of X11's, as libXrender.
    pyglet.options["headless"] = True
    from OpenGL import EGL
    from pyrender.platforms import egl

    for device in egl.query_devices():
        platform = egl.EGLPlatform(*size, device=device)

        def close(platform: Any = platform) -> None:
            # pyrender's own function ends the connection to the driver too, and with it every other context.
            EGL.eglMakeCurrent(platform._egl_display, EGL.EGL_NO_SURFACE, EGL.EGL_NO_SURFACE, EGL.EGL_NO_CONTEXT)
            EGL.eglDestroyContext(platform._egl_display, platform._egl_context)

        yield platform, close


def _window_platforms(size: tuple[int, int]) -> Iterator[tuple[Any, Callable[[], None]]]:
    """Yield WGL's on Windows, CGL's on macOS, GLX's where an X server runs."""
    from pyrender.platforms.pyglet_platform import PygletPlatform

    platform = PygletPlatform(*size)
    yield platform, platform.delete_context


def _no_opengl(problem: str) -> str:
    """Return the message, which names the environment's variables that lead OpenGL elsewhere."""
    found = [f"{name}={os.environ[name]}" for name in STEERING if name in os.environ]
    unset = f"unset {', '.join(found)}, or " if found else ""
    problem = " ".join(problem.split())[:80]
    return f"found no working OpenGL ({problem}); rendering needs EGL, or a display; {unset}run: apt-get install {PACKAGES}"
