"""A headless Chromium, driven through its DevTools protocol: opens a file, listens, looks, clicks, takes pictures.

The protocol: https://chromedevtools.github.io/devtools-protocol/ (Page, Runtime, Log, Network, Emulation, Input).
"""

import base64
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import websocket

WAIT_S = 60  # for anything the browser is asked; a loaded machine may need long


class Browser:
    """One page of one browser. `told` holds what it complained of, `asked` the addresses it wanted."""

    def __init__(self, program: str, profile: Path) -> None:
        """program: the path of chromium; profile: an empty folder that is the test's own."""
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--no-first-run",
                 "--disable-dev-shm-usage", "--remote-allow-origins=*", "--hide-scrollbars",
                 f"--user-data-dir={profile}"]  # fmt: skip
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen([program, *flags, "about:blank"], **quiet)  # type: ignore[call-overload]
        self.told: list[str] = []
        self.asked: list[str] = []
        self._number, self._loaded = 0, False
        try:
            self._socket = self._connect(profile / "DevToolsActivePort")
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
        except BaseException:
            self._process.kill()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._socket.close()
        self._process.terminate()
        try:
            self._process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _connect(self, announced: Path) -> websocket.WebSocket:
        """Wait for the port the browser announces; then speak to its page, found through a list of its targets."""
        _until(lambda: announced.exists() and len(announced.read_text().split()) == 2)
        port, path = announced.read_text().split()
        self._socket = websocket.create_connection(f"ws://127.0.0.1:{port}{path}", timeout=WAIT_S)
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self._socket.close()
        return websocket.create_connection(f"ws://127.0.0.1:{port}/devtools/page/{page}", timeout=WAIT_S)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask for one thing of the protocol; events that arrive meanwhile are noted. Raises RuntimeError if refused."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == self._number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return dict(message["result"])
            self._note(message.get("method", ""), message.get("params", {}))

    def _note(self, event: str, of: dict[str, Any]) -> None:
        if event == "Runtime.exceptionThrown":
            details = of["exceptionDetails"]
            self.told.append(details.get("exception", {}).get("description") or details["text"])
        elif event == "Runtime.consoleAPICalled":
            self.told.append(f"{of['type']}: {[a.get('value', a.get('description')) for a in of['args']]}")
        elif event == "Log.entryAdded":
            self.told.append(f"{of['entry']['level']}: {of['entry']['text']}")
        elif event == "Network.requestWillBeSent":
            self.asked.append(of["request"]["url"])
        elif event == "Page.loadEventFired":
            self._loaded = True

    def open(self, page: Path, scripts: bool = True) -> None:
        """Load a file and wait until it is drawn. scripts: whether the page's own may run."""
        self.told.clear()
        self.asked.clear()
        self._loaded = False
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.call("Page.navigate", url=page.absolute().as_uri())
        _until(lambda: bool(self.call("Runtime.evaluate", expression="0")) and self._loaded)
        self.call("Emulation.setScriptExecutionDisabled", value=False)
        self.drawn()

    def drawn(self) -> None:
        """Wait until what was changed last is on the screen."""
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def run(self, script: str) -> Any:
        """The JSON value of a JavaScript expression. Raises RuntimeError for what it throws."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            details = found["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description") or details["text"])
        return found["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until a JavaScript expression is true."""
        _until(lambda: bool(self.run(condition)))

    def screen(self, width: int, height: int, dark: bool = False, phone: bool = False, medium: str = "") -> None:
        """Set the window's size in CSS pixels, light or dark, a phone's touch screen or not, and `print` or screen."""
        size = {"width": width, "height": height, "deviceScaleFactor": 2 if phone else 1, "mobile": phone}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=medium, features=[scheme])
        self.drawn()

    def hover(self, x: float, y: float) -> None:
        """Move the mouse to a place in the window."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        self.drawn()

    def click(self, x: float, y: float) -> None:
        """Press and release the left button at a place in the window."""
        self.hover(x, y)
        for what in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=what, x=x, y=y, button="left", clickCount=1)
        self.drawn()

    def press(self, key: str) -> None:
        """Press and release one key, by its DOM name: Tab, Enter, ArrowRight."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowRight": 39, " ": 32}
        text = {"Enter": {"text": "\r"}, " ": {"text": " "}}.get(key, {})
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=codes[key], **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=codes[key])
        self.drawn()

    def picture(self, target: Path, of: str = "") -> None:
        """A PNG of what the window shows, or of a part of the page, wherever it is. of: a CSS selector."""
        clip = {}
        if of:
            box = f"document.querySelector({of!r}).getBoundingClientRect()"
            x, y, width, height = self.run(f"(b => [b.x + scrollX, b.y + scrollY, b.width, b.height])({box})")
            clip = {"clip": {"x": x, "y": y, "width": width, "height": height, "scale": 1}}
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=bool(of), **clip)
        target.write_bytes(base64.b64decode(shot["data"]))


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not true():
        if time.monotonic() > end:
            raise TimeoutError("the browser does not answer")
        time.sleep(0.02)
