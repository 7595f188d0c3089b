"""The stage: meshes, one camera, our light, drawn off screen. The only module that touches pyrender and OpenGL.

pyrender brings the EGL context, the anti-aliased frame buffer and the mesh's buffers. Its own shader costs 40-80 ms a frame
at 512x512 on a machine without a GPU, and its reading of the depth buffer another 5, so both are replaced here.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.errors import InputError, MachineError
from talker_cli.mesh import VertexNormals
from talker_cli.render.camera import View
from talker_cli.render.light import KEY_AT
from talker_cli.render.materials import Surface
from talker_cli.render.occlusion import PIXELS

PACKAGES = "libegl1 libgl1 libgl1-mesa-dri"
SHADERS = Path(__file__).parent / "shaders"

PICTURE_SIDE = 1024  # pixels, of a character's textures: a face in a film is not larger

Color = tuple[float, float, float]  # sRGB, 0…1


class Figure:
    """One mesh on the stage. Made by `Stage.add`."""

    def __init__(self, surface: Surface) -> None:
        import pyrender

        count = len(surface.colors)
        self._normals = VertexNormals(surface.faces, count, surface.normal_of)
        # As pyrender packs them: position, normal, "tangent" (sky seen, key seen, softness, sheen), two pairs of texture
        # coordinates if there are pictures (place; number), colour and gloss.
        self._color = 10 if surface.places is None else 14
        self.buffer = np.zeros((count, self._color + 4), dtype=np.float32)
        self.buffer[:, 6:8] = 1.0
        self.buffer[:, 8] = surface.soft
        self.buffer[:, 9] = surface.sheen
        self.buffer[:, -1] = surface.gloss
        if surface.places is not None:
            self.buffer[:, 10:13] = surface.places
        self.paint(surface.colors)
        # Foreign meshes have open necks and mouths; the shader turns and darkens what is seen from behind.
        material = pyrender.MetallicRoughnessMaterial(doubleSided=not surface.closed, alphaMode="OPAQUE")
        self.primitive = pyrender.Primitive(
            positions=self.buffer[:, 0:3],
            normals=self.buffer[:, 3:6],
            tangents=self.buffer[:, 6:10],
            texcoord_0=None if surface.places is None else self.buffer[:, 10:12],
            texcoord_1=None if surface.places is None else self.buffer[:, 12:14],
            color_0=self.buffer[:, -4:],
            indices=surface.faces,
            material=material,
        )
        self.primitive.pictures = surface.pictures if surface.places is not None else ()
        self.mesh = pyrender.Mesh([self.primitive])
        self.mesh.is_visible = False

    def move(self, vertices: np.ndarray, *, normals: bool = True) -> None:
        """Take (V, 3) positions, and their normals if they will be seen."""
        self.buffer[:, 0:3] = vertices
        if normals:
            self.buffer[:, 3:6] = self._normals(self.buffer[:, 0:3])

    def paint(self, colors: np.ndarray) -> None:
        """Take (V, 3) float32 colours, sRGB in 0…1."""
        # The shader squares what it gets and takes the root of what it gives: a gamma of 2, close to sRGB's and far cheaper.
        self.buffer[:, self._color : self._color + 3] = np.sqrt(srgb_to_linear(colors))

    def light(self, sky: np.ndarray, key: np.ndarray) -> None:
        """Take the (V,) shares of the sky and of the key light that each vertex sees, 0…1."""
        self.buffer[:, 6] = sky
        self.buffer[:, 7] = key


class Stage:
    """A ground and the meshes before it, drawn again and again as their vertices move; the buffers are made once.

    Args:
        size: width and height, pixels.
        background: sRGB in 0…1, or None for the studio's backdrop.

    Raises:
        MachineError: no OpenGL library or driver.
    """

    def __init__(self, size: tuple[int, int], background: Color | None = None) -> None:
        self._gl, self._platform, self._renderer = _open(size)
        import pyrender

        self.size = size
        self._flags = pyrender.RenderFlags.FLAT | pyrender.RenderFlags.OFFSCREEN
        self._depth_flags = pyrender.RenderFlags.DEPTH_ONLY | pyrender.RenderFlags.OFFSCREEN
        self._scene = pyrender.Scene(bg_color=(*(background or (0.0, 0.0, 0.0)), 1.0))
        self._camera = self._scene.add(pyrender.PerspectiveCamera(yfov=0.5))
        self._scene.main_camera_node = self._camera
        self._ground: Any = None
        if background is None:
            corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], dtype=np.float32)
            primitive = pyrender.Primitive(positions=corners, indices=np.array([[0, 1, 2], [0, 2, 3]]))
            primitive.is_ground = True
            self._ground = pyrender.Mesh([primitive])
            self._scene.add(self._ground)

    def add(self, surface: Surface) -> Figure:
        """Put a mesh on the stage."""
        figure = Figure(surface)
        self._scene.add(figure.mesh)
        return figure

    def draw(self, figure: Figure, view: View) -> np.ndarray:
        """Draw one figure before the ground.

        Returns:
            (H, W, 3) uint8 sRGB.

        Raises:
            MachineError: OpenGL reported an error.
        """
        self._scene.set_pose(self._camera, view.pose)
        self._camera.camera.yfov = view.field_of_view
        self._camera.camera.znear, self._camera.camera.zfar = view.near, view.far
        self._renderer.projection = None
        self._renderer.viewport_width, self._renderer.viewport_height = self.size
        return self._draw(figure, self._flags)

    def draw_depth(self, figure: Figure, projection: np.ndarray) -> np.ndarray:
        """Draw a figure under a (4, 4) projection of the world; return (H, W) depth, 0 near … 1 far, rows upwards."""
        self._renderer.projection = projection
        self._renderer.viewport_width = self._renderer.viewport_height = PIXELS
        return self._draw(figure, self._depth_flags)

    def _draw(self, figure: Figure, flags: int) -> np.ndarray:
        if self._ground is not None:
            self._ground.is_visible = flags == self._flags
        figure.mesh.is_visible = True
        try:
            self._platform.make_current()
            self._upload(figure)
            image: np.ndarray = self._renderer.render(self._scene, flags)
        except Exception as error:
            reason = str(error).strip().splitlines()
            raise MachineError(f"OpenGL failed while drawing ({reason[0] if reason else type(error).__name__}); "
                               f"try Mesa's software driver: apt-get install {PACKAGES}") from error  # fmt: skip
        finally:
            figure.mesh.is_visible = False
        return image

    def _upload(self, figure: Figure) -> None:
        """Put the vertices where the last frame's were; the buffer is made by the first."""
        if not figure.primitive._in_context():
            self._renderer._update_context(self._scene, self._flags)
        self._gl.glBindBuffer(self._gl.GL_ARRAY_BUFFER, figure.primitive._buffers[0])
        self._gl.glBufferSubData(self._gl.GL_ARRAY_BUFFER, 0, figure.buffer.nbytes, figure.buffer)

    def close(self) -> None:
        """Free the OpenGL context."""
        if self._platform is not None:
            try:
                self._platform.make_current()
                self._renderer.delete()
            finally:
                self._platform.delete_context()
                self._platform = None

    def __enter__(self) -> "Stage":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def srgb_to_linear(colors: np.ndarray) -> np.ndarray:
    """Return linear reflectance of sRGB values, both in 0…1 (IEC 61966-2-1)."""
    return np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)


def parse_color(text: str | None) -> Color | None:
    """Return the sRGB colour, 0…1, of `#rrggbb` or of a name as web pages use it; None stays None.

    Raises:
        InputError: nobody knows the colour.
    """
    if text is None:
        return None
    from PIL import ImageColor

    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
    except ValueError as error:
        raise InputError(f"found --background {text}; expected a colour, as '#2a2c30' or 'white'") from error
    return red / 255, green / 255, blue / 255


def _open(size: tuple[int, int]) -> tuple[Any, Any, Any]:
    """Return OpenGL's module, an EGL context that is current, and a renderer of `size` in it; a GPU first, else Mesa."""
    os.environ.setdefault("PYOPENGL_PLATFORM", "egl")
    try:
        import OpenGL

        OpenGL.ERROR_LOGGING = False
        from OpenGL import GL as gl
        from pyrender.platforms import egl

        devices = egl.query_devices()
    except Exception as error:  # PyOpenGL raises ImportError, AttributeError or TypeError for a library that is not there
        raise MachineError(_no_opengl(f"{type(error).__name__}: {error}")) from error
    problem = "no device"
    for device in devices:
        platform = egl.EGLPlatform(*size, device=device)
        try:
            platform.init_context()
            platform.make_current()
            return gl, platform, _renderer_class()(*size)
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
    raise MachineError(_no_opengl(problem))


def _upload_pictures(gl: Any, pictures: tuple[np.ndarray, ...]) -> int:
    """Return the number of a texture array that holds (H, W, 4) sRGB pictures, all brought to the largest one's size."""
    from PIL import Image

    height, width = (min(max(picture.shape[axis] for picture in pictures), PICTURE_SIDE) for axis in (0, 1))
    # As the vertices' colours: the shader squares what it gets.
    encoding = np.round(255 * np.sqrt(srgb_to_linear(np.arange(256) / 255))).astype(np.uint8)
    layers = np.empty((len(pictures), height, width, 4), np.uint8)
    for layer, picture in zip(layers, pictures, strict=True):
        layer[:] = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))
        layer[..., :3] = encoding[layer[..., :3]]
    number = int(gl.glGenTextures(1))
    kind = gl.GL_TEXTURE_2D_ARRAY
    gl.glBindTexture(kind, number)
    gl.glPixelStorei(gl.GL_UNPACK_ALIGNMENT, 1)
    gl.glTexImage3D(kind, 0, gl.GL_RGBA8, width, height, len(pictures), 0, gl.GL_RGBA, gl.GL_UNSIGNED_BYTE, layers)
    gl.glTexParameteri(kind, gl.GL_TEXTURE_MIN_FILTER, gl.GL_LINEAR_MIPMAP_LINEAR)
    gl.glTexParameteri(kind, gl.GL_TEXTURE_MAG_FILTER, gl.GL_LINEAR)
    gl.glGenerateMipmap(kind)
    return number


def _no_opengl(problem: str) -> str:
    return f"found no working OpenGL ({' '.join(problem.split())[:80]}); rendering needs EGL; run: apt-get install {PACKAGES}"


def _renderer_class() -> Any:
    """Return pyrender's renderer with our shader in place of its flat one, and without the depth image that nobody reads."""
    from OpenGL import GL as gl
    from pyrender.constants import RenderFlags
    from pyrender.renderer import Renderer
    from pyrender.shader_program import ShaderProgramCache

    class FaceRenderer(Renderer):  # type: ignore[misc]
        def __init__(self, width: int, height: int) -> None:
            super().__init__(width, height)
            self._program_cache = ShaderProgramCache(shader_dir=str(SHADERS))
            self.projection: np.ndarray | None = None

        def _get_primitive_program(self, primitive: Any, flags: int, program_flags: int) -> Any:
            name = "ground" if hasattr(primitive, "is_ground") else "face"
            fragments = "depth.frag" if flags & RenderFlags.DEPTH_ONLY else f"{name}.frag"
            places = {"NORMAL_LOC": 1, "TANGENT_LOC": 2, "COLOR_0_LOC": 3, "KEY_AT": "vec3({}, {}, {})".format(*KEY_AT)}
            if getattr(primitive, "pictures", ()):
                places |= {"PICTURES": 1, "COLOR_0_LOC": 5}
            program = self._program_cache.get_program(f"{name}.vert", fragments, defines=places)
            if not program._in_context():
                program._add_to_context()
            return program

        def _get_camera_matrices(self, scene: Any) -> tuple[np.ndarray, np.ndarray]:
            if self.projection is not None:
                return np.eye(4), self.projection
            matrices: tuple[np.ndarray, np.ndarray] = super()._get_camera_matrices(scene)
            return matrices

        def _bind_and_draw_primitive(self, primitive: Any, pose: np.ndarray, program: Any, flags: int) -> None:
            pictures = getattr(primitive, "pictures", ())
            if pictures and not flags & RenderFlags.DEPTH_ONLY:
                if not hasattr(primitive, "pictures_id"):
                    primitive.pictures_id = _upload_pictures(gl, pictures)
                gl.glActiveTexture(gl.GL_TEXTURE0)
                gl.glBindTexture(gl.GL_TEXTURE_2D_ARRAY, primitive.pictures_id)
            super()._bind_and_draw_primitive(primitive, pose, program, flags)

        def _configure_forward_pass_viewport(self, flags: int) -> None:
            super()._configure_forward_pass_viewport(flags)
            if flags & RenderFlags.DEPTH_ONLY:  # depth needs no anti-aliasing, which is half the work
                gl.glBindFramebuffer(gl.GL_DRAW_FRAMEBUFFER, self._main_fb)

        def _read_main_framebuffer(self, scene: Any, flags: int) -> np.ndarray:
            width, height = self._main_fb_dims
            whole = (0, 0, width, height)
            gl.glPixelStorei(gl.GL_PACK_ALIGNMENT, 1)
            if flags & RenderFlags.DEPTH_ONLY:
                gl.glBindFramebuffer(gl.GL_READ_FRAMEBUFFER, self._main_fb)
                data = gl.glReadPixels(*whole, gl.GL_DEPTH_COMPONENT, gl.GL_FLOAT)
                return np.frombuffer(data, dtype=np.float32).reshape(height, width)
            gl.glBindFramebuffer(gl.GL_READ_FRAMEBUFFER, self._main_fb_ms)
            gl.glBindFramebuffer(gl.GL_DRAW_FRAMEBUFFER, self._main_fb)
            gl.glBlitFramebuffer(*whole, *whole, gl.GL_COLOR_BUFFER_BIT, gl.GL_LINEAR)  # four samples to one
            gl.glBindFramebuffer(gl.GL_READ_FRAMEBUFFER, self._main_fb)
            data = gl.glReadPixels(*whole, gl.GL_RGB, gl.GL_UNSIGNED_BYTE)
            return np.ascontiguousarray(np.frombuffer(data, dtype=np.uint8).reshape(height, width, 3)[::-1])

    return FaceRenderer
