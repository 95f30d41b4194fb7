"""Confirm: the last look before anything is sent, and the only place in a notebook from which a rollout begins.

Two steps, three when something is forced. It is armed by clicks in one display only, and disarmed by any change, by
showing it again, and by its use. No method issues: what *Run All Cells* does cannot reach it.
"""

import logging
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from secrets import token_hex
from typing import Any, Protocol

import anywidget
import traitlets

from osupdate_kit.errors import OSUpdateKitError
from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.protocol.terms import InstallAction, Platform
from osupdate_kit.rollout.journey import Instrument
from osupdate_kit.rollout.preflight import NO_WAY_BACK
from osupdate_kit.views.status import moment
from osupdate_kit.views.text import clean
from osupdate_kit.views.text import devices as devices_words
from osupdate_kit.views.widgets.drafts import (
    Draft,
    action_words,
    declared_by,
    installs,
    leaving,
    noticed,
    noticed_declared,
    platform_name,
    verdicts,
)
from osupdate_kit.views.widgets.look import script, stylesheet
from osupdate_kit.views.widgets.thread import OneThread

log = logging.getLogger(__name__)


class Issuer(Protocol):
    """Begins rollouts."""

    def issue(self, draft: Draft) -> int:
        """Keep the plan with its membership and begin its rollout; the rollout's number."""

    def needs_another(self, devices: int) -> bool:
        """Does a rollout that so many devices take wait for a second person?"""


class Stage(StrEnum):
    """Where one stands. Only ARMED takes the last click."""

    READ = "read"
    TYPE = "type"
    ARMED = "armed"
    ISSUING = "issuing"
    ISSUED = "issued"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The devices of one platform: what they are sent, when, and what people will notice."""

    platform: Platform
    devices: int
    action: str
    window: str
    noticed: str
    forced: bool
    declared: bool = False


def lines(draft: Draft) -> tuple[Line, ...]:
    """What goes to whom: by command, then by declaration, the most devices first."""
    return (*_commanded(draft), *_declared(draft))


def _declared(draft: Draft) -> Iterator[Line]:
    counts = Counter(member.platform for member in draft.members if member.instrument is Instrument.DECLARATION)
    for name, devices in counts.most_common():
        platform = Platform(name)
        yield Line(
            platform=platform,
            devices=devices,
            action="a declaration: the device enforces it",
            window=f"by {declared_by(draft.plan.declaring)}",
            noticed=noticed_declared(platform),
            forced=False,
            declared=True,
        )


def _commanded(draft: Draft) -> tuple[Line, ...]:
    plan = draft.plan
    counts = Counter(member.platform for member in draft.members if member.instrument is Instrument.COMMAND)
    found = []
    for name, devices in counts.most_common():
        platform = Platform(name)
        actions = plan.steps(platform).actions
        deferrals = plan.max_user_deferrals if InstallAction.INSTALL_LATER in actions else None
        found.append(
            Line(
                platform=platform,
                devices=devices,
                action=action_words(actions) + ("" if deferrals is None else f", {deferrals} deferrals"),
                window=str(plan.window),
                noticed=noticed(platform, actions, deferrals),
                forced=InstallAction.INSTALL_FORCE_RESTART in actions,
            )
        )
    return tuple(found)


def waves(draft: Draft) -> tuple[str, ...]:
    """Whom each wave takes, when it opens, how many at once; nothing where all begin at once."""
    plan = draft.plan
    if not plan.admits:
        return ()
    sizes = Counter(member.wave for member in draft.members if not member.barrier)
    found = []
    for wave in plan.waves:
        pace = f", at most {devices_words(wave.pace)} under way at once" if wave.pace else ""
        found.append(f"{clean(wave.name)}: {devices_words(sizes[wave.name])}, {wave.opens}{pace}")
    return tuple(found)


class Confirm(anywidget.AnyWidget):
    """Issue a draft after a confirmation; `rollout` is its number once it has begun.

    hidden: selected devices that the grid's filter hides, `hidden_by` in words. stale: devices whose inventory is older
    than `stale_days`. Setting `draft`, `hidden` or `stale`, or all by `consider`, disarms.
    """

    _esm = traitlets.Unicode(script("confirm")).tag(sync=True)
    _css = traitlets.Unicode(stylesheet("confirm")).tag(sync=True)
    view = traitlets.Dict().tag(sync=True)  # what is to be read
    stand = traitlets.Dict().tag(sync=True)  # how far one has come
    rollout = traitlets.Int(None, allow_none=True)
    chosen_devices = traitlets.Tuple()  # those that somebody wants to see, for the grid

    def __init__(
        self,
        draft: Draft | None,
        issuer: Issuer,
        *,
        hidden: Collection[DeviceKey] = (),
        hidden_by: str = "",
        stale: Collection[DeviceKey] = (),
        stale_days: int = 7,
    ) -> None:
        self._issuer = issuer
        self._lock = threading.RLock()
        self._draft, self._hidden, self._hidden_by = draft, tuple(hidden), hidden_by
        self._stale, self._stale_days = tuple(stale), stale_days
        self._displays: set[str] = set()
        self._stage, self._armed_by, self._stamp, self._error = Stage.READ, "", "", ""
        self._begun: dict[str, int | None] = {}  # by the plan's text; None while it is on its way
        super().__init__()
        self._hands = OneThread("issue")
        self.on_msg(self._take)
        self._changed()

    # --- what it is about ---

    @property
    def draft(self) -> Draft | None:
        return self._draft

    @draft.setter
    def draft(self, draft: Draft | None) -> None:
        with self._lock:
            self._draft = draft
            self._changed()

    @property
    def hidden(self) -> tuple[DeviceKey, ...]:
        return self._hidden

    @hidden.setter
    def hidden(self, keys: Collection[DeviceKey]) -> None:
        with self._lock:
            self._hidden = tuple(keys)
            self._changed()

    @property
    def stale(self) -> tuple[DeviceKey, ...]:
        return self._stale

    @stale.setter
    def stale(self, keys: Collection[DeviceKey]) -> None:
        with self._lock:
            self._stale = tuple(keys)
            self._changed()

    def consider(
        self,
        draft: Draft | None,
        *,
        hidden: Collection[DeviceKey] = (),
        hidden_by: str = "",
        stale: Collection[DeviceKey] = (),
    ) -> None:
        """Be about this draft from now on, in one change."""
        with self._lock:
            self._draft, self._hidden, self._hidden_by, self._stale = draft, tuple(hidden), hidden_by, tuple(stale)
            self._changed()

    @property
    def stage(self) -> Stage:
        return self._stage

    def disarm(self) -> None:
        """Back to the first step; of no effect once it is used."""
        with self._lock:
            if self._stage in (Stage.TYPE, Stage.ARMED):
                self._stand(self._resting())

    def wait(self, seconds: float = 60) -> bool:
        """Wait until what was clicked so far is done; False if it took longer."""
        return self._hands.wait(seconds)

    def close(self) -> None:
        self._hands.stop()
        super().close()

    # --- clicks ---

    def _take(self, _widget: object, message: Mapping[str, Any], _buffers: object) -> None:
        """A message of the front end. Each display made a nonce of its own when it was shown."""
        nonce = str(message.get("nonce", ""))
        with self._lock:
            match message.get("kind"):
                case "shown" if nonce:
                    self._displays.add(nonce)
                    self.disarm()
                case "closed":
                    self._displays.discard(nonce)
                    if nonce == self._armed_by:
                        self.disarm()
                case "read" if nonce in self._displays:
                    self._read(nonce)
                case "typed" if nonce in self._displays:
                    self._typed(nonce, str(message.get("text", "")))
                case "back":
                    self.disarm()
                case "issue":
                    self._issue(nonce, str(message.get("stamp", "")))
                case "show":
                    self.chosen_devices = ()  # so that the same devices, asked for again, are news
                    self.chosen_devices = self._hidden if message.get("which") == "hidden" else self._stale

    def _read(self, nonce: str) -> None:
        if self._stage is Stage.READ and self._count:
            self._stand(Stage.TYPE if self._forced else Stage.ARMED, nonce)

    def _typed(self, nonce: str, text: str) -> None:
        """The number arms; any other text disarms."""
        if self._stage in (Stage.TYPE, Stage.ARMED) and self._forced and nonce == self._armed_by:
            right = text.strip().replace(",", "") == str(self._forced)
            self._stand(Stage.ARMED if right else Stage.TYPE, nonce)

    def _issue(self, nonce: str, stamp: str) -> None:
        """The last click: asked again here, for a button's look is no protection. Disarmed before anything happens."""
        draft = self._draft
        armed = self._stage is Stage.ARMED and nonce in self._displays and nonce == self._armed_by
        if not armed or draft is None or not stamp or stamp != self._stamp:
            return
        self._begun[draft.plan.to_yaml()] = None
        self._stand(Stage.ISSUING)
        self._hands.post(self._begin, draft)

    def _begin(self, draft: Draft) -> None:
        """In the widget's own thread."""
        try:
            rollout = self._issuer.issue(draft)
        except OSUpdateKitError as error:
            self._failed(draft, str(error))
        except Exception as error:
            log.exception("issuing failed")
            self._failed(
                draft, f"{type(error).__name__}: {error}. Look first whether the rollout has begun, then try again."
            )
        else:
            with self._lock:
                self._begun[draft.plan.to_yaml()] = self.rollout = rollout
                self._stand(self._resting())

    def _failed(self, draft: Draft, error: str) -> None:
        with self._lock:
            del self._begun[draft.plan.to_yaml()]
            self._error = error
            self._stand(self._resting())

    def _resting(self) -> Stage:
        """Where one stands with this draft when nobody has clicked: a used one stays used."""
        text = self._draft.plan.to_yaml() if self._draft else ""
        if text not in self._begun:
            return Stage.READ
        return Stage.ISSUING if self._begun[text] is None else Stage.ISSUED

    # --- what is shown ---

    def _changed(self) -> None:
        """Any change disarms, before anything can fail."""
        draft = self._draft
        self._error, self._count, self._forced = "", 0, 0  # nothing can be armed before it can be read
        self._stand(self._resting())
        parts = verdicts(draft.members if draft else ())
        found = lines(draft) if draft else ()
        forced = sum(line.devices for line in found if line.forced)
        self.view = {
            "name": clean(draft.plan.name) if draft else "",
            "target": draft.plan.target_label if draft else "",
            "no_way_back": NO_WAY_BACK if draft and parts.taking and installs(draft) else "",
            "leaving": leaving(draft) if draft else 0,
            "deadline": moment(draft.plan.deadline_at) if draft else "",
            "tries": draft.plan.tries if draft else 0,
            "selected": parts.selected,
            "count": parts.taking,
            "forced": forced,
            "another": bool(parts.taking) and self._issuer.needs_another(parts.taking),
            "by_command": parts.by_command,
            "by_declaration": parts.by_declaration,
            "declared_by": declared_by(draft.plan.declaring) if draft and parts.by_declaration else "",
            "barred": sum(part.devices for part in parts.barred),
            "unknown": sum(part.devices for part in parts.unknown),
            "lines": [
                {
                    "platform": platform_name(line.platform),
                    "devices": line.devices,
                    "action": line.action,
                    "window": line.window,
                    "noticed": line.noticed,
                    "forced": line.forced,
                    "declared": line.declared,
                }
                for line in found
            ],
            "waves": list(waves(draft)) if draft else [],
            "hidden": len(self._hidden),
            "hidden_by": clean(self._hidden_by),
            "stale": len(self._stale),
            "stale_days": self._stale_days,
            "unmatched": len(draft.unmatched) if draft else 0,
        }
        self._count, self._forced = parts.taking, forced

    def _stand(self, stage: Stage, nonce: str = "") -> None:
        """Every step has a stamp of its own: a click on an older picture of this widget is not taken."""
        self._stage, self._armed_by, self._stamp = stage, nonce, token_hex(8)
        self.stand = {
            "stage": stage.value,
            "nonce": nonce,
            "stamp": self._stamp,
            "error": self._error,
            "rollout": self._begun.get(self._draft.plan.to_yaml()) if self._draft else None,
        }
