"""Show a page that `talker page` wrote in a headless Chromium: what it loads, how soon and how smoothly its face follows.

    talker page -o site
    python tools/check_page.py site --sound examples/speech.wav --images /tmp/images   # needs websockets, and a Chromium

The page's microphone hears the sound, again and again; then it is given as a file. Prints a line for each. Look at the images.
"""

import argparse
import gzip
import tempfile
import time
from pathlib import Path

import soundfile
from browser import Tab, browsing, served

# Notes for how much sound frames came (seconds), and how often the face is drawn.
WATCH = """
window.sound = window.drawn = 0;
const Plain = Worker;
window.Worker = class extends Plain {
  constructor(...given) {
    super(...given);
    this.addEventListener("message", ({ data }) => { if (data.id) window.sound = data.samples / 16000; });
  }
};
const draw = WebGL2RenderingContext.prototype.drawArrays;
WebGL2RenderingContext.prototype.drawArrays = function (...given) { window.drawn++; draw.apply(this, given); };
"""
SECONDS = 15


def watched(tab: Tab, button: str) -> str:
    """Return what a sound costs until it ends or SECONDS are over, and what the page says of it, in words."""
    said, end = [], time.monotonic() + SECONDS
    before, drawn, sound = tab.processor(), tab.run("drawn"), tab.run("sound")
    while time.monotonic() < end and tab.run(f"document.getElementById('{button}').textContent") == "Stop":
        time.sleep(0.5)
        said.append(str(tab.run("document.getElementById('status').textContent")))
    after, drawn, sound = tab.processor(), tab.run("drawn") - drawn, tab.run("sound") - sound
    page, card = (after[kind] - before[kind] for kind in ("renderer", "GPU"))
    middle = sorted(said, key=lambda text: int(text.partition(" ")[0] or 0))[len(said) // 2]
    return f"{middle}; seconds of a core: page {page / sound:.2f} a second of sound, drawing {card / drawn:.3f} a frame"


def main() -> None:
    """Open, speak, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site", type=Path)
    parser.add_argument("--sound", type=Path, required=True, help="WAV")
    parser.add_argument("--images", type=Path, required=True, help="folder for the screenshots")
    options = parser.parse_args()
    options.images.mkdir(parents=True, exist_ok=True)
    loaded = [path.read_bytes() for path in options.site.iterdir() if path.name not in ("offline.js", "ort.LICENSE")]
    loaded = [each for each in loaded if not each.startswith(b"THIRD PARTY")]
    size, packed = sum(map(len, loaded)), sum(len(gzip.compress(each, 6)) for each in loaded)
    print(f"loads {size / 1e3:,.0f} kB, {packed / 1e3:,.0f} kB of a server that compresses")
    with tempfile.TemporaryDirectory() as folder:
        sound, rate = soundfile.read(options.sound)
        soundfile.write(f"{folder}/heard.wav", sound, rate, subtype="PCM_16")
        heard = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
                 f"--use-file-for-fake-audio-capture={folder}/heard.wav")  # fmt: skip
        with served(options.site) as url, browsing(Path(folder) / "profile", heard) as tab:
            started = time.monotonic()
            tab.open(url, WATCH)
            print(f"ready after {time.monotonic() - started:.1f} s")
            (options.images / "rest.png").write_bytes(tab.picture())
            tab.run("document.getElementById('microphone').click()")
            tab.wait("document.getElementById('status').textContent")
            print(f"microphone: {watched(tab, 'microphone')}")
            (options.images / "microphone.png").write_bytes(tab.picture())
            tab.run("document.getElementById('microphone').click()")
            time.sleep(2)  # a pass may still be on its way
            tab.run("window.sound = 0")
            tab.choose("#file", options.sound)
            tab.wait("document.getElementById('status').textContent.includes('ahead')")
            print(f"file: {watched(tab, 'open')}")
            tab.call("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=2, mobile=True)
            time.sleep(2)
            (options.images / "phone.png").write_bytes(tab.picture())
            assert not tab.errors, tab.errors


if __name__ == "__main__":
    main()
