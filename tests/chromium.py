"""A real browser without a window, told what to do through two pipes (DevTools protocol): nothing to install."""

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import numpy as np

NAMES = ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome", "chrome")
BINARY = next((found for name in NAMES if (found := shutil.which(name))), None)
WITHOUT = f"none of {', '.join(NAMES)} is on this machine (Debian: apt-get install chromium)"
OPTIONS = ["--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
OPTIONS += ["--no-first-run", "--mute-audio", "--disable-extensions", "--autoplay-policy=no-user-gesture-required"]
START = "import os, sys; [os.dup2(int(sys.argv[i + 1]), 3 + i) for i in (0, 1)]; os.execvp(sys.argv[3], sys.argv[3:])"
PATIENCE = 60.0  # seconds for an answer


class Browser:
    """A browser with a profile of its own; a context manager."""

    def __init__(self, profile: Path) -> None:
        assert BINARY
        self._number = 0
        self._rest = b""
        self.events: list[dict[str, Any]] = []
        self.downloads: Path  # where it keeps what a page gives, once it is told
        # The browser reads from 3 and writes to 4; ours are kept out of the way of that.
        low = os.pipe() + os.pipe()
        hears, self._tell, self._hear, tells = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 20) for end in low)
        for end in low:
            os.close(end)
        words = [BINARY, *OPTIONS, f"--user-data-dir={profile}", "about:blank"]
        start = [sys.executable, "-c", START, str(hears), str(tells), *words]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(start, pass_fds=(hears, tells), **quiet)  # type: ignore[call-overload]
        os.close(hears)
        os.close(tells)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError, AssertionError):
            self.call("Browser.close")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._tell)
        os.close(self._hear)

    def call(self, method: str, session: str | None = None, **words: Any) -> dict[str, Any]:
        """Have the browser do something and give its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": words} | ({"sessionId": session} if session else {})
        os.write(self._tell, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + PATIENCE
        while True:
            answer = self._next(until - time.monotonic(), method)
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return dict(answer["result"])
            self.events.append(answer)

    def _next(self, patience: float, what: str) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._hear], [], [], max(0.0, patience))
            assert ready, f"the browser has not answered {what} within {PATIENCE:.0f} s"
            read = os.read(self._hear, 1 << 20)
            assert read, f"the browser ended at {what}"
            self._rest += read
        first, self._rest = self._rest.split(b"\0", 1)
        return dict(json.loads(first))


class Tab:
    """A page in the browser.

    Args:
        browser: where.
        file: the page.
        width: of the window, CSS pixels.
        dark: whether the user prefers dark pages.
    """

    def __init__(self, browser: Browser, file: Path, width: int = 1200, *, dark: bool = False) -> None:
        self.browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._begun = len(browser.events)
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        # Nothing of a page that works offline asks the network.
        self.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.call("Page.navigate", url=file.as_uri())
        self.wait("document.readyState === 'complete'")

    def call(self, method: str, **words: Any) -> dict[str, Any]:
        return self.browser.call(method, self._session, **words)

    def evaluate(self, expression: str) -> Any:
        """Give the value of a JavaScript expression; a promise is waited for."""
        words = {"expression": expression, "awaitPromise": True, "returnByValue": True, "userGesture": True}
        answer = self.call("Runtime.evaluate", **words)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, expression: str) -> None:
        """Wait until an expression is true."""
        until = time.monotonic() + PATIENCE
        while not self.evaluate(expression):
            assert time.monotonic() < until, f"never came true: {expression}"
            time.sleep(0.02)

    def press(self, *keys: str) -> None:
        """Press keys one after the other, as a keyboard does: "Tab", "Enter", "ArrowRight", or letters."""
        codes = {"Tab": 9, "Enter": 13, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39, "Space": 32}
        for key in keys:
            name = " " if key == "Space" else key
            text = "\r" if key == "Enter" else name if len(name) == 1 else ""
            words = {"key": name, "windowsVirtualKeyCode": codes.get(key, ord(key[0].upper()))}
            self.call("Input.dispatchKeyEvent", type="keyDown", **words, **({"text": text} if text else {}))
            self.call("Input.dispatchKeyEvent", type="keyUp", **words)

    def screenshot(self, file: Path) -> None:
        """Keep a picture of the whole page."""
        words = {"format": "png", "captureBeyondViewport": True}
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", **words)["data"]))

    def troubles(self) -> list[str]:
        """Give what went wrong in the page so far: exceptions, console errors, and requests beyond the page itself."""
        found = []
        self.evaluate("0")
        for event in self.browser.events[self._begun :]:
            words = event.get("params", {})
            if event.get("sessionId") != self._session:
                continue
            if event["method"] == "Runtime.exceptionThrown":
                found.append(str(words["exceptionDetails"]))
            elif event["method"] == "Log.entryAdded" and words["entry"]["level"] == "error":
                found.append(words["entry"]["text"])
            elif event["method"] == "Network.requestWillBeSent":
                address = words["request"]["url"]
                found += [address] if address.split(":")[0] not in ("file", "data", "blob") else []
        return found


def fetched(browser: Browser, tab: Tab, selector: str, name: str) -> str:
    """Press the button that is to give a file, and read it."""
    words = f"Download as {name.rpartition('.')[2].upper()}"
    tab.evaluate(
        f"[...document.querySelectorAll('{selector} button')].find((b) => b.textContent === '{words}').click()"
    )
    found = browser.downloads / name
    until = time.monotonic() + 30
    while not found.exists():
        assert time.monotonic() < until, f"{name} never came"
        time.sleep(0.05)
    return found.read_text()


def heard_in_test(tab: Tab) -> list[tuple[np.ndarray, int]]:
    """Give the first samples of every sound of the deck that plays, and their rates."""
    found = tab.evaluate("""sounding.deck.buffers.map((b) => [b.sampleRate,
        Array.from(b.getChannelData(0).subarray(0, 48000), (x) => Math.round(x * 8388608))])""")
    return [(np.array(samples) / 2**23, rate) for rate, samples in found]


def high_share(sound: np.ndarray, rate: int) -> float:
    """Give the share of the power that is above 4.5 kHz."""
    power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
    return float(power[np.fft.rfftfreq(len(sound), 1 / rate) > 4500].sum() / power.sum())
