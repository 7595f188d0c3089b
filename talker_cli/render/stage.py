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

    Raises:
        MachineError: no OpenGL library or driver.
    """

    def __init__(self, faces: np.ndarray, colors: np.ndarray, gloss: np.ndarray, size: tuple[int, int]) -> None:
        self.size = size
        self._normals = VertexNormals(faces, len(colors))
        self._vertices = np.zeros((len(colors), 10), dtype=np.float32)  # position, normal, colour and gloss
        # The shader squares what it gets and takes the root of what it gives: a gamma of 2, close to sRGB's and far cheaper.
        self._vertices[:, 6:9] = np.sqrt(srgb_to_linear(colors))
        self._vertices[:, 9] = gloss
        self._gl, self._platform, self._renderer = _open(size)
        import pyrender

        self._flags = pyrender.RenderFlags.FLAT | pyrender.RenderFlags.OFFSCREEN
        # Foreign meshes have open necks and mouths; the shader turns and darkens what is seen from behind.
        material = pyrender.MetallicRoughnessMaterial(doubleSided=True, alphaMode="OPAQUE")
        self._primitive = pyrender.Primitive(
            positions=self._vertices[:, 0:3],
            normals=self._vertices[:, 3:6],
            color_0=self._vertices[:, 6:10],
            indices=faces,
            material=material,
        )
        self._buffer: int | None = None
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
        gl, data = self._gl, self._vertices
        data[:, 0:3] = vertices
        data[:, 3:6] = self._normals(vertices)
        self._scene.set_pose(self._camera, view.pose)
        self._camera.camera.yfov = view.field_of_view
        self._camera.camera.znear, self._camera.camera.zfar = view.near, view.far
        try:
            self._platform.make_current()
            if self._buffer is not None:
                gl.glBindBuffer(gl.GL_ARRAY_BUFFER, self._buffer)
                gl.glBufferSubData(gl.GL_ARRAY_BUFFER, 0, data.nbytes, data)
            else:  # the first frame: pyrender makes the buffers from the primitive's arrays
                self._primitive.positions, self._primitive.normals = data[:, 0:3], data[:, 3:6]
            image: np.ndarray = self._renderer.render(self._scene, self._flags)
            self._buffer = self._primitive._buffers[0]
        except Exception as error:
            reason = str(error).strip().splitlines()
            raise MachineError(f"OpenGL failed while drawing ({reason[0] if reason else type(error).__name__}); "
                               f"try Mesa's software driver: apt-get install {PACKAGES}") from error  # fmt: skip
        return image

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
    from pyrender.renderer import Renderer
    from pyrender.shader_program import ShaderProgramCache

    class FaceRenderer(Renderer):  # type: ignore[misc]
        def __init__(self, width: int, height: int) -> None:
            super().__init__(width, height)
            self._program_cache = ShaderProgramCache(shader_dir=str(SHADERS))

        def _get_primitive_program(self, primitive: Any, flags: int, program_flags: int) -> Any:
            places = {"NORMAL_LOC": 1, "COLOR_0_LOC": 2}
            program = self._program_cache.get_program("face.vert", "face.frag", defines=places)
            if not program._in_context():
                program._add_to_context()
            return program

        def _read_main_framebuffer(self, scene: Any, flags: int) -> np.ndarray:
            width, height = self._main_fb_dims
            whole = (0, 0, width, height)
            gl.glBindFramebuffer(gl.GL_READ_FRAMEBUFFER, self._main_fb_ms)
            gl.glBindFramebuffer(gl.GL_DRAW_FRAMEBUFFER, self._main_fb)
            gl.glBlitFramebuffer(*whole, *whole, gl.GL_COLOR_BUFFER_BIT, gl.GL_LINEAR)  # four samples to one
            gl.glBindFramebuffer(gl.GL_READ_FRAMEBUFFER, self._main_fb)
            gl.glPixelStorei(gl.GL_PACK_ALIGNMENT, 1)
            data = gl.glReadPixels(*whole, gl.GL_RGB, gl.GL_UNSIGNED_BYTE)
            return np.ascontiguousarray(np.frombuffer(data, dtype=np.uint8).reshape(height, width, 3)[::-1])

    return FaceRenderer
