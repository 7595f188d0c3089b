"""A headless Chromium and a static web server, for pages: what JavaScript says, and pictures of what is seen."""

import base64
import contextlib
import functools
import http.client
import http.server
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# No card: SwiftShader draws. No sandbox: tests may run as root.
OPTIONS = (
    "--headless=new", "--no-sandbox", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist",
    "--autoplay-policy=no-user-gesture-required", "--window-size=900,700", "--remote-debugging-port=0",
)  # fmt: skip
PATIENCE = 300.0  # seconds: shaders take their time where a processor stands in for the card


class Tab:
    """A tab of the browser, by the DevTools protocol.

    Args:
        connection: Its WebSocket.
        whole: That of the browser.
    """

    def __init__(self, connection: ClientConnection, whole: ClientConnection) -> None:
        self._connection, self._whole, self._number = connection, whole, 0
        self.errors: list[str] = []
        self.loaded: dict[str, str] = {}  # addresses by request
        self.bytes = 0  # that came over the network
        for domain in ("Page", "Runtime", "Network", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: object) -> Any:
        """Call a method of the protocol; return its result."""
        return self._ask(self._connection, method, parameters)

    def processor(self) -> dict[str, float]:
        """Return the seconds of a core that the browser's processes have had, by kind: renderer, GPU …"""
        found = self._ask(self._whole, "SystemInfo.getProcessInfo", {})["processInfo"]
        return {
            kind: sum(each["cpuTime"] for each in found if each["type"] == kind) for kind in {each["type"] for each in found}
        }

    def _ask(self, connection: ClientConnection, method: str, parameters: dict[str, object]) -> Any:
        self._number += 1
        connection.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while (message := json.loads(connection.recv(PATIENCE))).get("id") != self._number:
            self._note(message)
        assert "error" not in message, (method, message["error"])
        return message["result"]

    def _note(self, message: Any) -> None:
        said = message.get("params", {})
        match message.get("method"):
            case "Runtime.exceptionThrown":
                details = said["exceptionDetails"]
                self.errors.append(details.get("exception", {}).get("description") or details["text"])
            case "Runtime.consoleAPICalled" if said["type"] == "error":
                self.errors.append(str([each.get("value") for each in said["args"]]))
            case "Network.requestWillBeSent":
                self.loaded[said["requestId"]] = said["request"]["url"]
            case "Network.loadingFinished":
                self.bytes += int(said["encodedDataLength"])

    def run(self, expression: str) -> Any:
        """Return the value of an expression, or of what it promises."""
        done = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def wait(self, condition: str, patience: float = PATIENCE) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + patience
        while not self.run(f"Boolean({condition})"):
            shown = "document.body && document.body.innerText"
            assert time.monotonic() < end, (condition, self.errors, self.run(shown))
            time.sleep(0.05)

    def open(self, address: str, before: str = "") -> None:
        """Load a page whose body says that it is ready; `before` runs before its own scripts."""
        if before:
            self.call("Page.addScriptToEvaluateOnNewDocument", source=before)
        self.call("Page.navigate", url=address)
        self.wait("document.body && document.body.dataset.ready === 'yes'")

    def choose(self, selector: str, *files: Path) -> None:
        """Give files to an input, as a user chooses them."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=list(map(str, files)), nodeId=node)

    def picture(self, *part: int) -> bytes:
        """Return a PNG of what is seen, or of a part: x, y, width, height."""
        clip = {"clip": {**dict(zip(("x", "y", "width", "height"), part, strict=True)), "scale": 1}} if part else {}
        return base64.b64decode(self.call("Page.captureScreenshot", **clip)["data"])


@contextlib.contextmanager
def browsing(folder: Path, options: Sequence[str] = ()) -> Iterator[Tab]:
    """Run Chromium with a profile in a new folder; yield its tab."""
    assert PROGRAM is not None
    process = subprocess.Popen(
        [PROGRAM, *OPTIONS, *options, f"--user-data-dir={folder}", "about:blank"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        port, end = folder / "DevToolsActivePort", time.monotonic() + PATIENCE
        while not (port.exists() and port.read_text().count("\n")):
            assert process.poll() is None and time.monotonic() < end, "Chromium does not start"
            time.sleep(0.05)
        number, place = port.read_text().split("\n")[:2]
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", int(number))) as asked:
            asked.request("GET", "/json/list")
            pages = json.loads(asked.getresponse().read())
        address = next(each["webSocketDebuggerUrl"] for each in pages if each["type"] == "page")
        joined = functools.partial(connect, max_size=None, open_timeout=PATIENCE, ping_interval=None)
        with joined(address) as connection, joined(f"ws://127.0.0.1:{number}{place}") as whole:
            yield Tab(connection, whole)
    finally:
        process.kill()  # it would write its profile first
        process.wait()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder's files on a free port of this machine; yield the address."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
