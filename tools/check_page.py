"""Show pages that `talker page` wrote in a headless Chromium: what they load, how soon and how smoothly the face follows.

    talker page -o site
    python tools/check_page.py site --images /tmp/images          # needs websockets, and a Chromium
    python tools/check_page.py talker-base talker-tiny --images /tmp/images   # makes the pages itself; 40 s each

The page's microphone hears the sound, again and again; then it is given as a file. Prints a table: frames drawn a second and
the face's delay are medians over half seconds, after the first three seconds. For an idle machine. Look at the images.
"""

import argparse
import gzip
import re
import statistics
import subprocess
import sys
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
SECONDS, FIRST = 15, 3  # of a sound that are watched, and of these the ones that do not count
EXAMPLE = Path(__file__).parents[1] / "examples" / "speech.wav"
UNPACKED = ("offline.js", "ort.LICENSE")  # files that no visit waits for


def watched(tab: Tab, button: str) -> dict[str, float]:
    """Return what a page shows and costs until its sound ends or SECONDS are over."""
    rates, delays, start = [], [], time.monotonic()
    before, drawn, sound = tab.processor(), tab.run("drawn"), tab.run("sound")
    while time.monotonic() < start + SECONDS and tab.run(f"document.getElementById('{button}').textContent") == "Stop":
        time.sleep(0.5)
        said = str(tab.run("document.getElementById('status').textContent"))
        if time.monotonic() > start + FIRST and (found := re.match(r"(\d+) frames/s, (?:(\d+) ms)?", said)):
            rates.append(int(found[1]))
            delays.append(int(found[2] or 0))
    after, drawn, sound = tab.processor(), tab.run("drawn") - drawn, tab.run("sound") - sound
    page, card = (after[kind] - before[kind] for kind in ("renderer", "GPU"))
    return {
        "frames/s": statistics.median(rates), "delay ms": statistics.median(delays),
        "page, core s a s": page / sound, "drawing, core s a frame": card / drawn,
    }  # fmt: skip


def measured(site: Path, sound: Path, images: Path) -> dict[str, float]:
    """Return a page's row of the table; the microphone's columns are marked m, the file's f."""
    images.mkdir(parents=True, exist_ok=True)
    files = [path.read_bytes() for path in site.iterdir() if path.name not in UNPACKED]
    loaded = [each for each in files if not each.startswith(b"THIRD PARTY")]
    row = {"kB": sum(map(len, loaded)) / 1e3, "kB packed": sum(len(gzip.compress(each, 6)) for each in loaded) / 1e3}
    with tempfile.TemporaryDirectory() as folder:
        samples, rate = soundfile.read(sound)
        soundfile.write(f"{folder}/heard.wav", samples, rate, subtype="PCM_16")
        heard = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
                 f"--use-file-for-fake-audio-capture={folder}/heard.wav")  # fmt: skip
        with served(site) as url, browsing(Path(folder) / "profile", heard) as tab:
            started = time.monotonic()
            tab.open(url, WATCH)
            row["ready s"] = time.monotonic() - started
            (images / "rest.png").write_bytes(tab.picture())
            tab.run("document.getElementById('microphone').click()")
            tab.wait("document.getElementById('status').textContent")
            row |= {f"{name} (m)": value for name, value in watched(tab, "microphone").items()}
            (images / "microphone.png").write_bytes(tab.picture())
            tab.run("document.getElementById('microphone').click()")
            time.sleep(2)  # a pass may still be on its way
            tab.run("window.sound = 0")
            tab.choose("#file", sound)
            tab.wait("document.getElementById('status').textContent.includes('ahead')")
            row |= {f"{name} (f)": value for name, value in watched(tab, "open").items() if name != "delay ms"}
            tab.call("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=2, mobile=True)
            time.sleep(2)
            (images / "phone.png").write_bytes(tab.picture())
            assert not tab.errors, tab.errors
    return row


def main() -> None:
    """Make the pages that are not there; open, speak, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="+", help="folder of talker page, or a model to make one of")
    parser.add_argument("--sound", type=Path, default=EXAMPLE, help="WAV")
    parser.add_argument("--images", type=Path, required=True, help="folder for the screenshots")
    options = parser.parse_args()
    rows = {}
    with tempfile.TemporaryDirectory() as made:
        for page in options.pages:
            site = Path(page)
            if not (site / "site.json").is_file():
                site = Path(made) / Path(page).name
                command = [sys.executable, "-m", "talker_cli", "page", "--model", page, "-o", str(site)]
                done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
                if done.returncode:
                    print(f"{page}: no page ({done.stderr.strip().splitlines()[-1]})", flush=True)
                    continue
            rows[Path(page).name] = measured(site, options.sound, options.images / Path(page).name)
    print(f"{'':32s}" + "".join(f"{name[:15]:>16s}" for name in rows))
    for name in next(iter(rows.values()), {}):
        print(f"{name:32s}" + "".join(f"{row[name]:16,.2f}" for row in rows.values()))


if __name__ == "__main__":
    main()
