"""RolloutMonitor: a rollout while it runs, within two seconds of an event, and the acts of people upon it.

One thread looks, another does what people click; the kernel's main thread does neither. Only what changed is sent, in
one message per look. It rests while nobody has it on a screen, and ends with the rollout.
"""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import anywidget
import traitlets

from osupdate_kit.errors import OSUpdateKitError
from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.protocol.causes import class_of
from osupdate_kit.views.text import clean
from osupdate_kit.views.widgets.look import script, stylesheet
from osupdate_kit.views.widgets.sections import device, is_over, sections, told_section
from osupdate_kit.views.widgets.story import Told, story
from osupdate_kit.views.widgets.thread import OneThread
from osupdate_kit.views.widgets.watch import DeviceLine, Subset, Watched, cause_words

log = logging.getLogger(__name__)

BEAT_SECONDS = 10.0  # how often the browser hears that we are there, though nothing changed
GONE_SECONDS = 150.0  # a display that has not said for so long that it is there is gone
LISTED = 50  # devices named when somebody asks for a part
KEPT = 20  # acts asked for here
ERROR_SECONDS = 10.0  # between two looks that fail
OF_PARTS = ("open", "lift")  # acts on one wave or one halt: asked for beside it, and always twice


class MonitorSource(Protocol):
    """One rollout, as the monitor asks for it; from two threads at a time. Errors are OSUpdateKitErrors."""

    def look(self, seen: str) -> Watched | None:
        """As of now; None, and cheaply so, while the head's version would be `seen`. "" = in any case."""

    def keys(self, subset: Subset) -> Sequence[DeviceKey]:
        """All devices of a part."""

    def lines(self, keys: Sequence[DeviceKey]) -> Sequence[DeviceLine]:
        """A few devices as of now."""

    def act(self, what: str, detail: str = "") -> int:
        """Ask the service for pause, resume, halt, cancel, or retry (`detail`: of which cause); the act's number."""

    def outcome(self, act: int) -> str | None:
        """What became of it: None while the service has not picked it up, "done", or the words of an error."""

    def story(self, wanted: DeviceKey | str) -> Told | None:
        """All that is known of a device, by its key, or by serial, UDID or enrollment ID; None if it is not in here."""

    def raw(self, key: DeviceKey, seq: int) -> bytes | None:
        """The redacted plist that an event was read from, as XML; None if it is not kept."""


class RolloutMonitor(anywidget.AnyWidget):
    """Watch a rollout; `chosen_devices` are those of the part that somebody clicked, for the grid.

    every_seconds: from look to look: what is new shows within two seconds, in as few messages as that allows. It grows
    with the time that a look takes, so that looking never takes more than half of a processor.
    """

    _esm = traitlets.Unicode(script("monitor")).tag(sync=True)
    _css = traitlets.Unicode(stylesheet("monitor")).tag(sync=True)
    head = traitlets.Dict().tag(sync=True)
    counts = traitlets.Dict().tag(sync=True)
    causes = traitlets.Dict().tag(sync=True)
    waits = traitlets.Dict().tag(sync=True)
    deferrals = traitlets.Dict().tag(sync=True)
    armed = traitlets.Dict().tag(sync=True)
    attention = traitlets.Dict().tag(sync=True)
    waves = traitlets.Dict().tag(sync=True)
    instruments = traitlets.Dict().tag(sync=True)  # how each does, and the deadlines of declarations
    drawer = traitlets.Dict().tag(sync=True)  # the devices of a part
    tale = traitlets.Dict().tag(sync=True)  # one device's story
    asked: traitlets.List[dict[str, Any]] = traitlets.List().tag(
        sync=True
    )  # acts asked for here, and what became of them
    trouble = traitlets.Dict().tag(sync=True)  # why what is shown may be old
    beat = traitlets.Int(0).tag(sync=True)
    chosen_devices = traitlets.Tuple()

    def __init__(self, source: MonitorSource, *, every_seconds: float = 1.5) -> None:
        self._source, self._every = source, every_seconds
        self._lock = threading.RLock()
        self._displays: dict[str, float] = {}  # by nonce: when it last said that it is there
        self._watched: Watched | None = None
        self._seen = ""
        self._told = -BEAT_SECONDS  # when the browser last heard of us
        self._wake, self._closing = threading.Event(), threading.Event()
        super().__init__()
        self._hands = OneThread("monitor acts")
        self._thread = threading.Thread(target=self._watch, name="monitor", daemon=True)
        self.on_msg(self._take)
        self._thread.start()

    @property
    def watched(self) -> Watched | None:
        """What is shown; None before the first look."""
        return self._watched

    def wait(self, seconds: float = 60) -> bool:
        """Wait until what was clicked so far is done; False if it took longer."""
        return self._hands.wait(seconds)

    def close(self) -> None:
        """Stop looking, and take it off the screens."""
        self._closing.set()
        self._wake.set()
        self._hands.stop()
        super().close()

    # --- looking ---

    def _watch(self) -> None:
        while not self._closing.is_set():
            self._wake.clear()
            begun = time.monotonic()
            pause = self._every
            if self._on_screen(begun):
                well = self._look()
                took = time.monotonic() - begun
                pause = max(self._every - took, took, 0.05) if well else ERROR_SECONDS
                if well and begun - self._told >= BEAT_SECONDS:
                    self._put(beat=self.beat + 1)
                if self._watched is not None and is_over(self._watched) and not self._open_acts():
                    pause = GONE_SECONDS
            self._wake.wait(pause)

    def _on_screen(self, now: float) -> bool:
        """Is there a display, or has nobody looked yet?"""
        with self._lock:
            self._displays = {nonce: at for nonce, at in self._displays.items() if now - at < GONE_SECONDS}
            return bool(self._displays) or self._watched is None

    def _look(self) -> bool:
        """One look; False if it failed. What is on the screen stays."""
        try:
            watched = self._source.look(self._seen)
            news = sections(watched) if watched else {}
            outcomes = {act["act"]: self._source.outcome(act["act"]) for act in self._open_acts()}
        except OSUpdateKitError as error:
            self._tell(str(error))
            return False
        except Exception as error:
            log.exception("a look at the rollout failed")
            self._tell(f"{type(error).__name__}. The kernel's log has the rest.")
            return False
        with self._lock, self.hold_sync():
            if watched is not None:
                self._watched, self._seen = watched, watched.head.version
            self._put(**news, trouble={})
            self._note(outcomes)
        return True

    def _put(self, **news: object) -> None:
        """Show this. What is equal to what is shown is not sent; two threads never send at once."""
        with self._lock:
            if any(getattr(self, name) != section for name, section in news.items()):
                self._told = time.monotonic()  # news are a sign of life as well
            for name, section in news.items():
                setattr(self, name, section)

    def _tell(self, words: str) -> None:
        self._put(trouble={"text": clean(words), "since": self.head.get("as_of", "")})

    # --- clicks ---

    def _take(self, _widget: object, message: Mapping[str, Any], _buffers: object) -> None:
        """A message of the front end; each display made a nonce of its own when it was shown."""
        nonce, kind = str(message.get("nonce", "")), message.get("kind")
        if kind in ("shown", "here") and nonce:
            with self._lock:
                self._displays[nonce] = time.monotonic()
            if kind == "shown":
                self._wake.set()
        elif kind == "closed":
            with self._lock:
                self._displays.pop(nonce, None)
        elif nonce in self._displays:
            self._hands.post(self._safely, message)

    def _safely(self, message: Mapping[str, Any]) -> None:
        """In the widget's own thread."""
        try:
            self._do(message)
        except OSUpdateKitError as error:
            self._refuse(str(message.get("what", "")), str(error))
        except Exception as error:
            log.exception("what was clicked failed")
            self._refuse(str(message.get("what", "")), f"{type(error).__name__}. The kernel's log has the rest.")

    def _do(self, message: Mapping[str, Any]) -> None:
        match message.get("kind"):
            case "act":
                self._act(str(message.get("what")), str(message.get("detail", ""))[:500], message.get("sure") is True)
            case "devices":
                self._show(Subset(str(message.get("part")), str(message.get("value", ""))), str(message.get("title")))
            case "story" if message.get("id"):
                self._tell_story(DeviceKey(str(message.get("server")), str(message["id"])))
            case "story":
                self._tell_story(str(message.get("wanted", "")).strip())
            case "raw":
                self._show_raw(int(message.get("seq", 0)))
            case "close":
                self._put(**{"tale" if message.get("what") == "tale" else "drawer": {}})

    def _act(self, what: str, detail: str, sure: bool) -> None:
        """`sure`: the second click. Asked again here, for a button's look is no protection."""
        if what in OF_PARTS:
            if not (sure and what in self._allowed()):
                return
        elif (ask := self.head.get("asks", {}).get(what)) is None or (ask["question"] and not sure):
            return
        for part in self._causes_to_retry() if what == "retry" and not detail else (detail,):
            act = self._source.act(what, part)
            self._remark({"act": act, "what": what, "detail": _detail(what, part), "outcome": None})
        self._wake.set()

    def _allowed(self) -> frozenset[str]:
        return self._watched.head.allowed if self._watched else frozenset()

    def _causes_to_retry(self) -> list[str]:
        """By class: unlisted codes may be many."""
        causes = self._watched.causes if self._watched else ()
        return list(dict.fromkeys(class_of(cause.cause).value for cause in causes if cause.retry_helps))

    def _refuse(self, what: str, words: str) -> None:
        self._remark({"act": 0, "what": what, "detail": "", "outcome": words})

    def _remark(self, act: dict[str, Any]) -> None:
        """The newest few stay to be read."""
        with self._lock:
            self.asked = [*self.asked[1 - KEPT :], act]

    def _open_acts(self) -> list[dict[str, Any]]:
        return [act for act in self.asked if act["act"] and act["outcome"] is None]

    def _note(self, outcomes: Mapping[int, str | None]) -> None:
        if any(outcomes.values()):
            self.asked = [{**act, "outcome": act["outcome"] or outcomes.get(act["act"])} for act in self.asked]

    def _show(self, subset: Subset, title: str) -> None:
        watched = self._watched
        keys = tuple(self._source.keys(subset))
        lines = self._source.lines(keys[:LISTED])
        self.chosen_devices = ()  # so that the same part, asked for again, is news
        self.chosen_devices = keys
        if watched is not None:
            rows = [device(line, watched) for line in lines]
            self._put(drawer={"title": clean(title), "devices": len(keys), "rows": rows})

    def _tell_story(self, wanted: DeviceKey | str) -> None:
        told = self._source.story(wanted) if wanted else None
        self._put(tale={"missing": clean(str(wanted))} if told is None else told_section(told, story(told)))

    def _show_raw(self, seq: int) -> None:
        key = DeviceKey(str(self.tale.get("server")), str(self.tale.get("id")))
        body = self._source.raw(key, seq)
        text = "" if body is None else body.decode("utf-8", "replace")[:100_000]
        self.send({"kind": "raw", "seq": seq, "text": text})


def _detail(what: str, detail: str) -> str:
    return cause_words(detail) if what == "retry" and detail else clean(detail)
