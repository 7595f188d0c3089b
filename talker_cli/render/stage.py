"""The offscreen renderer: meshes, one camera, fixed lights.

Without a GPU every pixel of every triangle's edge costs time, and four times as much with OpenGL's own anti-aliasing. So
a mesh is drawn once at twice the size with the leanest shader that keeps its looks, and a second pass brings the image to its
size, puts the ground behind it and turns its rows downwards, all in one reading of it.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.errors import InputError, MachineError
from talker_cli.formats.mesh import VertexNormals
from talker_cli.render.camera import View
from talker_cli.render.context import PACKAGES, Context, open_context
from talker_cli.render.light import KEY_AT
from talker_cli.render.materials import SurfaceMaterial
from talker_cli.render.occlusion import PIXELS

SHADERS = Path(__file__).parent / "shaders"

DESKTOP = "#version 330 core\n"  # the shaders' own dialect

FINER = 2  # supersampling: a mesh is drawn so many times as wide and high as its image
TEXTURE_SIDE = 1024  # pixels, of a character's textures: a face in a video is rarely larger

Color = tuple[float, float, float]  # sRGB, 0…1

# Attributes of the vertex shader by location: first those that change with every frame, then the rest.
_POSITION, _NORMAL, _LIGHT, _COLOR, _UV = range(5)


class GpuMesh:
    """One mesh on the GPU. Made by `OffscreenRenderer.add`."""

    def __init__(self, gl: Any, surface: SurfaceMaterial) -> None:
        count = len(surface.colors)
        self._gl = gl
        self._normals = VertexNormals(surface.faces, count, surface.normal_of)
        self._moving = np.zeros((count, 6), dtype=np.float32)  # position, normal
        # Sky seen, key seen, softness, sheen; colour, gloss; place on which image.
        self._still = np.ones((count, 11), dtype=np.float32)
        self._still[:, 2] = surface.soft
        self._still[:, 3] = surface.sheen
        self._still[:, 7] = surface.gloss
        if surface.uvs is not None:
            self._still[:, 8:11] = surface.uvs
        self._stale = True  # the second buffer waits for an upload
        # Foreign meshes have open necks and mouths; the shader darkens faces that are seen from behind.
        self.closed = surface.closed
        self.textures = None if surface.uvs is None else _upload_textures(gl, surface.textures)
        self.paint(surface.colors)
        self._corners = surface.faces.size
        self._arrays = gl.glGenVertexArrays(1)
        self._buffers = gl.glGenBuffers(3)
        gl.glBindVertexArray(self._arrays)
        layout = ([(_POSITION, 3), (_NORMAL, 3)], [(_LIGHT, 4), (_COLOR, 4), (_UV, 3)])
        for buffer, data, attributes in zip(self._buffers, (self._moving, self._still), layout, strict=False):
            gl.glBindBuffer(gl.GL_ARRAY_BUFFER, buffer)
            gl.glBufferData(gl.GL_ARRAY_BUFFER, data.nbytes, data, gl.GL_STREAM_DRAW)
            start = 0
            for place, numbers in attributes:
                at = ctypes.c_void_p(start * data.itemsize)
                gl.glVertexAttribPointer(place, numbers, gl.GL_FLOAT, gl.GL_FALSE, data.strides[0], at)
                gl.glEnableVertexAttribArray(place)
                start += numbers
        corners = np.ascontiguousarray(surface.faces, dtype=np.uint32)
        gl.glBindBuffer(gl.GL_ELEMENT_ARRAY_BUFFER, self._buffers[2])
        gl.glBufferData(gl.GL_ELEMENT_ARRAY_BUFFER, corners.nbytes, corners, gl.GL_STATIC_DRAW)

    def move(self, vertices: np.ndarray, *, normals: bool = True) -> None:
        """Set (V, 3) positions, and their normals if they will be seen."""
        self._moving[:, 0:3] = vertices
        if normals:
            self._moving[:, 3:6] = self._normals(self._moving[:, 0:3])

    def paint(self, colors: np.ndarray) -> None:
        """Set (V, 3) float32 colours, sRGB in 0…1."""
        # The shader squares what it gets and takes the root of what it gives: a gamma of 2, close to sRGB's and far cheaper.
        self._still[:, 4:7] = np.sqrt(srgb_to_linear(colors))
        self._stale = True

    def light(self, sky: np.ndarray, key: np.ndarray) -> None:
        """Set the (V,) shares of the sky and of the key light that each vertex sees, 0…1."""
        if not (np.array_equal(self._still[:, 0], sky) and np.array_equal(self._still[:, 1], key)):
            self._still[:, 0] = sky
            self._still[:, 1] = key
            self._stale = True

    def draw(self) -> None:
        """Draw its triangles with the program in use; the vertices go where the last frame's were."""
        gl = self._gl
        gl.glBindVertexArray(self._arrays)
        for buffer, data in zip(self._buffers, (self._moving, self._still) if self._stale else (self._moving,), strict=False):
            gl.glBindBuffer(gl.GL_ARRAY_BUFFER, buffer)
            gl.glBufferSubData(gl.GL_ARRAY_BUFFER, 0, data.nbytes, data)
        self._stale = False
        if self.textures is not None:
            gl.glBindTexture(gl.GL_TEXTURE_2D_ARRAY, self.textures)
        gl.glDrawElements(gl.GL_TRIANGLES, self._corners, gl.GL_UNSIGNED_INT, ctypes.c_void_p(0))


class OffscreenRenderer:
    """Draws meshes before a background as their vertices move; the buffers are made once.

    Args:
        size: Width and height, pixels.
        background: sRGB in 0…1, or None for the studio's backdrop.

    Raises:
        MachineError: no OpenGL library or driver.
    """

    def __init__(self, size: tuple[int, int], background: Color | None = None) -> None:
        self.size = size
        self._background = background
        self._context: Context = open_context(size)
        self._open = True
        self._gl = self._context.gl
        self._programs: dict[tuple[str, ...], _Program] = {}
        gl = self._gl
        self._fine, self._texture = _buffer(gl, size[0] * FINER, size[1] * FINER, depth=True)
        self._plain, _ = _buffer(gl, *size, depth=False)
        self._map, _ = _buffer(gl, PIXELS, PIXELS, depth=True)
        self._nothing = gl.glGenVertexArrays(1)  # OpenGL wants one, even where the shader makes its own vertices

    def add(self, surface: SurfaceMaterial) -> GpuMesh:
        """Upload a mesh."""
        self._context.make_current()
        return GpuMesh(self._gl, surface)

    def draw(self, mesh: GpuMesh, view: View) -> np.ndarray:
        """Draw one mesh before the background.

        Returns:
            (H, W, 3) uint8 sRGB.

        Raises:
            MachineError: OpenGL reported an error.
        """
        gl, (width, height) = self._gl, self.size
        with _reported():
            self._context.make_current()
            gl.glBindFramebuffer(gl.GL_FRAMEBUFFER, self._fine)
            gl.glViewport(0, 0, width * FINER, height * FINER)
            kinds = [*(["TEXTURES"] if mesh.textures is not None else []), *([] if mesh.closed else ["OPEN"])]
            program = self._program("face.vert", "face.frag", *kinds)
            self._draw(mesh, program, _inverse(view.pose), _lens(view, width / height))
            gl.glBindFramebuffer(gl.GL_FRAMEBUFFER, self._plain)
            gl.glViewport(0, 0, width, height)
            gl.glDisable(gl.GL_DEPTH_TEST)
            gl.glDisable(gl.GL_CULL_FACE)
            program = self._program("image.vert", "image.frag", *(["STUDIO"] if self._background is None else []))
            gl.glUseProgram(program.number)
            if self._background is not None:
                gl.glUniform3f(program.place("background"), *self._background)
            gl.glBindTexture(gl.GL_TEXTURE_2D, self._texture)
            gl.glBindVertexArray(self._nothing)
            gl.glDrawArrays(gl.GL_TRIANGLES, 0, 3)
            image = np.empty((height, width, 3), np.uint8)
            gl.glPixelStorei(gl.GL_PACK_ALIGNMENT, 1)
            gl.glReadPixels(0, 0, width, height, gl.GL_RGB, gl.GL_UNSIGNED_BYTE, image)
        return image

    def draw_depth(self, mesh: GpuMesh, projection: np.ndarray) -> np.ndarray:
        """Draw a mesh under a (4, 4) projection of the world; return (H, W) depth, 0 near … 1 far, rows upwards."""
        gl = self._gl
        with _reported():
            self._context.make_current()
            gl.glBindFramebuffer(gl.GL_FRAMEBUFFER, self._map)
            gl.glViewport(0, 0, PIXELS, PIXELS)
            self._draw(mesh, self._program("face.vert", "depth.frag"), np.eye(4), projection)
            depth = np.empty((PIXELS, PIXELS), np.float32)
            gl.glReadPixels(0, 0, PIXELS, PIXELS, gl.GL_DEPTH_COMPONENT, gl.GL_FLOAT, depth)
        return depth

    def _draw(self, mesh: GpuMesh, program: "_Program", to_camera: np.ndarray, projection: np.ndarray) -> None:
        gl = self._gl
        gl.glEnable(gl.GL_DEPTH_TEST)
        gl.glClearColor(0.0, 0.0, 0.0, 0.0)
        gl.glClear(gl.GL_COLOR_BUFFER_BIT | gl.GL_DEPTH_BUFFER_BIT)
        both_sides = not mesh.closed and "OPEN" in program.kinds
        (gl.glDisable if both_sides else gl.glEnable)(gl.GL_CULL_FACE)
        gl.glUseProgram(program.number)
        for name, matrix in (("V", to_camera), ("P", projection)):
            gl.glUniformMatrix4fv(program.place(name), 1, gl.GL_TRUE, np.asarray(matrix, np.float32))
        mesh.draw()

    def _program(self, vertex: str, fragment: str, *kinds: str) -> "_Program":
        key = (vertex, fragment, *kinds)
        if key not in self._programs:
            self._programs[key] = _Program(self._context, vertex, fragment, kinds)
        return self._programs[key]

    def close(self) -> None:
        """Free the OpenGL context and its buffers."""
        if self._open:
            self._context.close()
            self._open = False

    def __enter__(self) -> "OffscreenRenderer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Program:
    """Two compiled shaders for one kind of mesh or background."""

    def __init__(self, context: Context, vertex: str, fragment: str, kinds: tuple[str, ...]) -> None:
        gl, shaders = context.gl, context.shaders
        self._gl = gl
        self._places: dict[str, int] = {}
        self.kinds = kinds
        header = shader_header(*kinds)
        parts = []
        for name, stage in ((vertex, gl.GL_VERTEX_SHADER), (fragment, gl.GL_FRAGMENT_SHADER)):
            parts.append(shaders.compileShader(DESKTOP + header + shader_text(name), stage))
        self.number = int(shaders.compileProgram(*parts, validate=False))

    def place(self, name: str) -> int:
        """Return the location of a uniform."""
        if name not in self._places:
            self._places[name] = self._gl.glGetUniformLocation(self.number, name)
        return self._places[name]


@contextmanager
def _reported() -> Iterator[None]:
    """Raise OpenGL's errors as a MachineError: none may become a black frame."""
    try:
        yield
    except Exception as error:
        reason = str(error).strip().splitlines()
        raise MachineError(f"OpenGL failed while drawing ({reason[0] if reason else type(error).__name__}); "
                           f"try Mesa's software driver: apt-get install {PACKAGES}") from error  # fmt: skip


def _buffer(gl: Any, width: int, height: int, *, depth: bool) -> tuple[int, int]:
    """Return the numbers of a frame buffer, with or without depth, and of the texture it draws into."""
    texture, frame = gl.glGenTextures(1), gl.glGenFramebuffers(1)
    gl.glBindTexture(gl.GL_TEXTURE_2D, texture)
    gl.glTexImage2D(gl.GL_TEXTURE_2D, 0, gl.GL_RGBA8, width, height, 0, gl.GL_RGBA, gl.GL_UNSIGNED_BYTE, None)
    for setting, value in (("MIN_FILTER", gl.GL_LINEAR), ("MAG_FILTER", gl.GL_LINEAR), ("WRAP_S", gl.GL_CLAMP_TO_EDGE),
                           ("WRAP_T", gl.GL_CLAMP_TO_EDGE)):  # fmt: skip
        gl.glTexParameteri(gl.GL_TEXTURE_2D, getattr(gl, f"GL_TEXTURE_{setting}"), value)
    gl.glBindFramebuffer(gl.GL_FRAMEBUFFER, frame)
    gl.glFramebufferTexture2D(gl.GL_FRAMEBUFFER, gl.GL_COLOR_ATTACHMENT0, gl.GL_TEXTURE_2D, texture, 0)
    if depth:
        deep = gl.glGenRenderbuffers(1)
        gl.glBindRenderbuffer(gl.GL_RENDERBUFFER, deep)
        gl.glRenderbufferStorage(gl.GL_RENDERBUFFER, gl.GL_DEPTH_COMPONENT24, width, height)
        gl.glFramebufferRenderbuffer(gl.GL_FRAMEBUFFER, gl.GL_DEPTH_ATTACHMENT, gl.GL_RENDERBUFFER, deep)
    return int(frame), int(texture)


def _inverse(pose: np.ndarray) -> np.ndarray:
    """Return (4, 4) world to camera of a (4, 4) camera to world without scale."""
    inverse = np.eye(4)
    inverse[:3, :3] = pose[:3, :3].T
    inverse[:3, 3] = -pose[:3, :3].T @ pose[:3, 3]
    return inverse


def _lens(view: View, aspect: float) -> np.ndarray:
    """Return (4, 4): the camera's space to OpenGL's cube, for an image of an aspect ratio."""
    lens = np.zeros((4, 4))
    lens[1, 1] = 1 / np.tan(view.field_of_view / 2)
    lens[0, 0] = lens[1, 1] / aspect
    lens[2, 2] = (view.near + view.far) / (view.near - view.far)
    lens[2, 3] = 2 * view.near * view.far / (view.near - view.far)
    lens[3, 2] = -1.0
    return lens


def shader_header(*kinds: str) -> str:
    """Return the lines that shaders begin with, after the version.

    Args:
        kinds: TEXTURES for a mesh with textures; OPEN for one that may be seen from behind; STUDIO for the backdrop.
    """
    key = "vec3({}, {}, {})".format(*KEY_AT)
    return "".join(f"#define {line}\n" for line in (f"KEY_AT {key}", *kinds))


def shader_text(name: str) -> str:
    """Return a shader without its version's line, and with the functions it calls."""
    text = (SHADERS / name).read_text(encoding="utf-8").removeprefix(DESKTOP)
    return (SHADERS / "studio.glsl").read_text(encoding="utf-8") + text if "studio(" in text else text


def srgb_to_linear(colors: np.ndarray) -> np.ndarray:
    """Return linear reflectance of sRGB values, both in 0…1 (IEC 61966-2-1)."""
    return np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)


def parse_color(text: str | None) -> Color | None:
    """Return the sRGB colour, 0…1, of `#rrggbb` or of a name as web pages use it; None stays None.

    Raises:
        InputError: the colour is unknown.
    """
    if text is None:
        return None
    from PIL import ImageColor

    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
    except ValueError as error:
        raise InputError(f"found {text}; expected a colour, as '#2a2c30' or 'white'", field="background") from error
    return red / 255, green / 255, blue / 255


def _upload_textures(gl: Any, textures: tuple[np.ndarray, ...]) -> int:
    """Return the number of a texture array that holds (H, W, 4) sRGB textures, all brought to the largest one's size."""
    from PIL import Image

    height, width = (min(max(texture.shape[axis] for texture in textures), TEXTURE_SIDE) for axis in (0, 1))
    # As the vertices' colours: the shader squares what it gets.
    encoding = np.round(255 * np.sqrt(srgb_to_linear(np.arange(256) / 255))).astype(np.uint8)
    layers = np.empty((len(textures), height, width, 4), np.uint8)
    for layer, texture in zip(layers, textures, strict=True):
        layer[:] = np.asarray(Image.fromarray(texture).resize((width, height), Image.Resampling.LANCZOS))
        layer[..., :3] = encoding[layer[..., :3]]
    number = int(gl.glGenTextures(1))
    kind = gl.GL_TEXTURE_2D_ARRAY
    gl.glBindTexture(kind, number)
    gl.glPixelStorei(gl.GL_UNPACK_ALIGNMENT, 1)
    gl.glTexImage3D(kind, 0, gl.GL_RGBA8, width, height, len(textures), 0, gl.GL_RGBA, gl.GL_UNSIGNED_BYTE, layers)
    gl.glTexParameteri(kind, gl.GL_TEXTURE_MIN_FILTER, gl.GL_LINEAR_MIPMAP_LINEAR)
    gl.glTexParameteri(kind, gl.GL_TEXTURE_MAG_FILTER, gl.GL_LINEAR)
    gl.glGenerateMipmap(kind)
    return number
