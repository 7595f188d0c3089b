"""`talker page`: a face that listens in the browser, as a folder for any static web server."""

from pathlib import Path
from typing import Annotated

import typer

from talker_cli.cli.animate import HeadOption, OnlyOption, ScaleOption
from talker_cli.cli.options import (
    IdentityOption,
    LibraryOption,
    OutputFolderOption,
    SeedOption,
    examples,
    guarded,
    note,
    one_thread,
    progress,
    result,
)
from talker_cli.cli.serve import LookAheadOption
from talker_cli.model.folder import DEFAULT_IDENTITY, SMALL_MODEL

PageModelOption = Annotated[str, typer.Option("--model", help="Model with a compact student: a built-in name, or a folder.")]
PageAvatarOption = Annotated[
    Path | None,
    typer.Option("--avatar", help="Character to show: a .glb or .vrm with ARKit's morph targets.", show_default=False),
]
PageEmotionOption = Annotated[
    str | None,
    typer.Option("--emotion", help="Emotions with strengths from 0 to 1, as happy=0.6, for ever.", show_default="neutral"),
]
PageStepsOption = Annotated[int, typer.Option("--steps", help="Denoising steps: those of a student that the model has.", min=1)]
RuntimeOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the npm package onnxruntime-web. Without it, the package is fetched once and kept.",
        show_default="your cache",
    ),
]


@examples("talker page -o site", "talker page -o site --identity FaceTalk_170728 --look-ahead 200")
@guarded
def page(
    output: OutputFolderOption,
    identity: IdentityOption = DEFAULT_IDENTITY,
    look_ahead: LookAheadOption = 300.0,
    seed: SeedOption = 0,
    style_scale: ScaleOption = 1.0,
    library: LibraryOption = None,
    head: HeadOption = 1.0,
    only: OnlyOption = None,
    emotion: PageEmotionOption = None,
    avatar: PageAvatarOption = None,
    model: PageModelOption = SMALL_MODEL,
    steps: PageStepsOption = 8,
    runtime: RuntimeOption = None,
) -> None:
    """Write a web page whose face speaks along with a microphone or a file, all in the visitor's browser.

    Any static web server serves the folder: python -m http.server -d site, then http://localhost:8000. No sound leaves the
    browser. Without --runtime, the first page fetches ONNX Runtime Web (33 MB) from the npm registry.
    """
    one_thread()
    from talker_cli.animate.talker import Talker
    from talker_cli.avatar.drive import listed
    from talker_cli.data.emotions import parse_emotions
    from talker_cli.formats.files import check_new_folder, size_text
    from talker_cli.page.build import live_numbers, read_character, replaceable, write_page
    from talker_cli.page.runtime import VERSION, runtime_files

    check_new_folder(output, replaceable(output))
    spans = () if emotion is None else parse_emotions(emotion)
    talker = Talker.load(model, steps=steps, device="cpu")
    who = talker.who(identity, style_scale=style_scale, library=library)
    live = live_numbers(talker, who, look_ahead=look_ahead, seed=seed, head=head, only=only, emotion=spans)
    config = talker.animator.config
    character = None if avatar is None else read_character(avatar, config.names, config.fps)
    with progress(f"fetching ONNX Runtime Web {VERSION}", "MB") as on_progress:
        files = runtime_files(runtime, on_progress)
    write_page(output, talker, who.name, character.rig if character else who.rig, live, files)
    if character and character.missing:
        note(f"{avatar} has no morph target for {listed(character.missing)}: they move nothing")
    if character and character.drive.solves:
        note(f"{avatar} has few shapes of the mouth: a page moves each by its own curve, so that the lips hardly ever meet")
    for line in who.notes:
        note(line)
    size = sum(path.stat().st_size for path in output.iterdir() if not path.name.startswith("ort.L"))
    note(f"{size_text(size)}; python -m http.server -d {output} serves it at http://localhost:8000")
    result(output / "index.html")
