"""The stage: one mesh, one camera, our light, drawn off screen. The only module that touches pyrender and OpenGL.

pyrender brings the EGL context, the anti-aliased frame buffer and the mesh's buffers. Its own shader costs 40-80 ms a frame
at 512x512 on a machine without a GPU, and its reading of the depth buffer another 5, so both are replaced here.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.errors import MachineError
from talker_cli.mesh import VertexNormals
from talker_cli.render.camera import View
from talker_cli.render.occlusion import PIXELS

PACKAGES = "libegl1 libgl1 libgl1-mesa-dri"
SHADERS = Path(__file__).parent / "shaders"
BACKGROUND = (0.235, 0.245, 0.26)  # sRGB, a photographer's grey


class Stage:
    """A mesh on a neutral ground, drawn again and again as its vertices move; its buffers are made once.

    Args:
        faces: (F, 3) int, counter-clockwise seen from outside.
        colors: (V, 3) float32, sRGB in 0…1.
        gloss: (V,) float32, 0 for skin … 1 for a wet eye.
        size: width and height, pixels.
        closed: nothing is ever seen from behind, so that back faces need not be drawn: a third less work.

    Raises:
        MachineError: no OpenGL library or driver.
    """

    def __init__(
        self, faces: np.ndarray, colors: np.ndarray, gloss: np.ndarray, size: tuple[int, int], *, closed: bool = False
    ) -> None:
        self._normals = VertexNormals(faces, len(colors))
        # As pyrender packs them: position, normal, "tangent" (x: the sky seen), colour and gloss.
        self._vertices = np.zeros((len(colors), 14), dtype=np.float32)
        self._vertices[:, 6] = 1.0
        # The shader squares what it gets and takes the root of what it gives: a gamma of 2, close to sRGB's and far cheaper.
        self._vertices[:, 10:13] = np.sqrt(srgb_to_linear(colors))
        self._vertices[:, 13] = gloss
        self._gl, self._platform, self._renderer = _open(size)
        import pyrender

        self._size = size
        self._flags = pyrender.RenderFlags.FLAT | pyrender.RenderFlags.OFFSCREEN
        self._depth_flags = pyrender.RenderFlags.DEPTH_ONLY | pyrender.RenderFlags.OFFSCREEN
        # Foreign meshes have open necks and mouths; the shader turns and darkens what is seen from behind.
        material = pyrender.MetallicRoughnessMaterial(doubleSided=not closed, alphaMode="OPAQUE")
        self._primitive = pyrender.Primitive(
            positions=self._vertices[:, 0:3],
            normals=self._vertices[:, 3:6],
            tangents=self._vertices[:, 6:10],
            color_0=self._vertices[:, 10:14],
            indices=faces,
            material=material,
        )
        self._scene = pyrender.Scene(bg_color=(*BACKGROUND, 1.0))
        self._scene.add(pyrender.Mesh([self._primitive]))
        self._camera = self._scene.add(pyrender.PerspectiveCamera(yfov=0.5))
        self._scene.main_camera_node = self._camera

    def draw(self, vertices: np.ndarray, view: View) -> np.ndarray:
        """Draw one frame.

        Args:
            vertices: (V, 3) float32, metres.

        Returns:
            (H, W, 3) uint8 sRGB.

        Raises:
            MachineError: OpenGL reported an error.
        """
        self._scene.set_pose(self._camera, view.pose)
        self._camera.camera.yfov = view.field_of_view
        self._camera.camera.znear, self._camera.camera.zfar = view.near, view.far
        self._vertices[:, 0:3] = vertices
        self._vertices[:, 3:6] = self._normals(vertices)
        self._renderer.projection = None
        self._renderer.viewport_width, self._renderer.viewport_height = self._size
        return self._draw(self._flags)

    def set_sky(self, seen: np.ndarray) -> None:
        """Take the (V,) share of the sky that each vertex sees, 0…1."""
        self._vertices[:, 6] = seen

    def draw_depth(self, vertices: np.ndarray, projection: np.ndarray) -> np.ndarray:
        """Draw (V, 3) vertices under a (4, 4) projection of the world; return (H, W) depth, 0 near … 1 far, rows upwards."""
        self._vertices[:, 0:3] = vertices
        self._renderer.projection = projection
        self._renderer.viewport_width = self._renderer.viewport_height = PIXELS
        return self._draw(self._depth_flags)

    def _draw(self, flags: int) -> np.ndarray:
        try:
            self._platform.make_current()
            self._upload()
            image: np.ndarray = self._renderer.render(self._scene, flags)
        except Exception as error:
            reason = str(error).strip().splitlines()
            raise MachineError(f"OpenGL failed while drawing ({reason[0] if reason else type(error).__name__}); "
                               f"try Mesa's software driver: apt-get install {PACKAGES}") from error  # fmt: skip
        return image

    def _upload(self) -> None:
        """Put the vertices where the last frame's were; the buffer is made by the first."""
        if not self._primitive._in_context():
            self._renderer._update_context(self._scene, self._flags)
        self._gl.glBindBuffer(self._gl.GL_ARRAY_BUFFER, self._primitive._buffers[0])
        self._gl.glBufferSubData(self._gl.GL_ARRAY_BUFFER, 0, self._vertices.nbytes, self._vertices)

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
            fragments = "depth.frag" if flags & RenderFlags.DEPTH_ONLY else "face.frag"
            places = {"NORMAL_LOC": 1, "TANGENT_LOC": 2, "COLOR_0_LOC": 3}
            program = self._program_cache.get_program("face.vert", fragments, defines=places)
            if not program._in_context():
                program._add_to_context()
            return program

        def _get_camera_matrices(self, scene: Any) -> tuple[np.ndarray, np.ndarray]:
            if self.projection is not None:
                return np.eye(4), self.projection
            matrices: tuple[np.ndarray, np.ndarray] = super()._get_camera_matrices(scene)
            return matrices

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
