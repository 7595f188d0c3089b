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

import numpy as np
import soundfile
from browser import Tab, browsing, served

# Notes when frames came, and for how much sound (ms, ms at 16 kHz).
WATCH = """
window.passes = [];
const Plain = Worker;
window.Worker = class extends Plain {
  constructor(...given) {
    super(...given);
    this.addEventListener("message", ({ data }) => { if (data.id) passes.push([performance.now(), data.samples / 16]); });
  }
};
"""
SECONDS = 15


def statuses(tab: Tab, button: str) -> list[str]:
    """Return what the page says of itself, twice a second, until its sound ends or SECONDS are over."""
    said, end = [], time.monotonic() + SECONDS
    while time.monotonic() < end and tab.run(f"document.getElementById('{button}').textContent") == "Stop":
        time.sleep(0.5)
        said.append(str(tab.run("document.getElementById('status').textContent")))
    return [each for each in said if each]


def median(said: list[str], word: int) -> float:
    """Return the median of a number in each of some lines."""
    return float(np.median([float(each.split()[word]) for each in said]))


def passes(tab: Tab) -> str:
    """Return how long passes of the network took, in words."""
    took, sound = np.diff(np.array(tab.run("window.passes.splice(0)")), axis=0).T
    worked = took > 1  # others found no new frame
    return f"a pass takes {np.median(took[worked]):.0f} ms (median), all of them {took.sum() / sound.sum():.2f} s a second"


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
            said = statuses(tab, "microphone")
            (options.images / "microphone.png").write_bytes(tab.picture())
            print(f"microphone: {median(said, 0):.0f} frames/s, {median(said, 2):.0f} ms after the voice; {passes(tab)}")
            tab.run("document.getElementById('microphone').click()")
            time.sleep(2)  # a pass may still be on its way
            tab.run("window.passes.length = 0")
            tab.choose("#file", options.sound)
            tab.wait("document.getElementById('status').textContent.includes('ahead')")
            said = statuses(tab, "open")
            print(f"file: {median(said, 0):.0f} frames/s; {passes(tab)}")
            tab.call("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=2, mobile=True)
            time.sleep(2)
            (options.images / "phone.png").write_bytes(tab.picture())
            assert not tab.errors, tab.errors


if __name__ == "__main__":
    main()
