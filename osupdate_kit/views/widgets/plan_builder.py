"""PlanBuilder: a form that becomes a plan, with the verdict on every selected device while one types.

Nothing is stored or sent by it. `.plan` and `.draft` hold the answer; `Confirm` takes the draft on from here.
"""

import logging
import threading
import zoneinfo
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

import anywidget
import traitlets

from osupdate_kit.errors import OSUpdateKitError
from osupdate_kit.fleet.selection import Selection
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.rollout.enforcement import DECLARE_SINCE
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.preflight import Finding
from osupdate_kit.views.text import clean
from osupdate_kit.views.widgets.drafts import (
    Draft,
    Part,
    Verdicts,
    action_words,
    declared_by,
    keys_of,
    noticed,
    platform_name,
    verdicts,
    versions_of,
    waves_of,
)
from osupdate_kit.views.widgets.fields import (
    LINES,
    WAVES,
    WHY_DECLARE,
    Fields,
    choices,
    first_fields,
    hazards,
    known_by,
    line_words,
    platforms_of,
    read,
    recommended,
)
from osupdate_kit.views.widgets.look import script, stylesheet
from osupdate_kit.views.widgets.thread import OneThread

log = logging.getLogger(__name__)

RULES = ("latest-minor", "latest-minor +7d", "latest-major")  # suggested besides the versions


class Previewer(Protocol):
    """Gives the verdicts of a plan; stores nothing."""

    who: str  # the plan's author

    @property
    def declarations(self) -> Collection[str]:
        """Names of the servers that can declare."""

    def now(self) -> int:
        """Microseconds since 1970 UTC."""

    def draft(self, selection: Selection, plan: RolloutPlan) -> Draft:
        """The plan with its membership and the verdict on each device."""


class PlanBuilder(anywidget.AnyWidget):
    """Build a plan for these devices; `draft` always belongs to what the form shows, or is None.

    targets: versions to suggest, the first one is filled in. where: the criterion that chose the devices, kept in the
    plan. memory: under this name a cell that is run again finds what was typed.
    """

    _esm = traitlets.Unicode(script("plan_builder")).tag(sync=True)
    _css = traitlets.Unicode(stylesheet("plan_builder")).tag(sync=True)
    form = traitlets.Dict().tag(sync=True)  # what can be chosen
    fields = traitlets.Dict().tag(sync=True)  # what is typed
    errors = traitlets.Dict().tag(sync=True)  # a sentence by field
    preview = traitlets.Dict().tag(sync=True)
    chosen_devices = traitlets.Tuple()  # of the part that somebody clicked, for the grid

    def __init__(
        self,
        selection: Selection,
        previewer: Previewer,
        *,
        targets: Sequence[str] = (),
        where: str = "",
        memory: str = "plan",
    ) -> None:
        self._previewer, self._targets, self._where, self._memory = previewer, tuple(targets), where, memory
        self._lock = threading.RLock()
        self._selection = selection
        self._plan: RolloutPlan | None = None
        self._draft: Draft | None = None
        self._typed = _recall(memory) or first_fields(self._targets[0] if targets else "", previewer.now())
        super().__init__()
        self._hands = OneThread("plan preview")
        self.on_msg(self._take)
        self.selection = selection

    @property
    def selection(self) -> Selection:
        return self._selection

    @selection.setter
    def selection(self, selection: Selection) -> None:
        """Plan for other devices; the fields stay."""
        with self._lock:
            self._selection = selection
            self._platforms = platforms_of(selection.devices)
            self.form = self._form()
            self._read()

    @property
    def plan(self) -> RolloutPlan | None:
        """The plan as typed; None while a field cannot be read."""
        return self._plan

    @property
    def draft(self) -> Draft | None:
        """The plan with its verdicts; None while they are worked out, or a field cannot be read."""
        return self._draft

    def set(self, **typed: object) -> None:
        """Fill in fields as if somebody typed them, such as `target="18.7.2"`, `actions={"macOS": "InstallLater"}`."""
        with self._lock:
            fields = self._typed.with_typed(typed)
            if fields == self._typed:
                return  # leaving a field is no change
            self._typed = fields
            _remember(self._memory, self._typed)
            self._read()

    def show_devices(self, part: str) -> None:
        """Set `chosen_devices` to those of a part of the preview: an instrument, or a barrier by its name."""
        draft = self._draft
        if draft is not None:
            self.chosen_devices = ()  # so that the same part, asked for again, is news
            self.chosen_devices = keys_of(draft.members, part)

    def wait(self, seconds: float = 60) -> bool:
        """Wait until the preview shows what is typed; False if it took longer."""
        return self._hands.wait(seconds)

    def close(self) -> None:
        self._hands.stop()
        super().close()

    # --- what happens ---

    def _take(self, _widget: object, message: Mapping[str, Any], _buffers: object) -> None:
        if message.get("kind") == "typed" and isinstance(message.get("fields"), Mapping):
            self.set(**{str(name): value for name, value in message["fields"].items()})
        elif message.get("kind") == "show":
            self._hands.post(self.show_devices, str(message.get("part")))

    def _read(self) -> None:
        office = self._previewer
        reading = read(
            self._typed,
            now=office.now(),
            author=office.who,
            where=self._where,
            declaring_servers=office.declarations,
        )
        self._plan, self._draft = reading.plan, None
        self.fields, self.errors = asdict(self._typed), dict(reading.errors)
        self.preview = {**self.preview, "busy": reading.plan is not None, "old": True}
        if reading.plan is not None:
            self._hands.post(self._judge, reading.plan, self._selection)

    def _judge(self, plan: RolloutPlan, selection: Selection) -> None:
        """In the widget's own thread; what was typed meanwhile wins."""
        if plan is not self._plan or selection is not self._selection:
            return
        try:
            draft = self._previewer.draft(selection, plan)
            shown = _shown(draft, verdicts(draft.members), plan)
        except OSUpdateKitError as error:
            draft, shown = None, {"error": str(error)}
        except Exception as error:
            log.exception("the preview failed")
            draft, shown = (
                None,
                {"error": f"The preview failed: {type(error).__name__}. The kernel's log has the rest."},
            )
        with self._lock:
            if plan is self._plan and selection is self._selection:
                self._draft, self.preview = draft, shown

    def _form(self) -> dict[str, Any]:
        return {
            "selected": len(self._selection),
            "targets": [*self._targets, *RULES],
            "waves": [{"value": value, "words": words} for value, (words, _) in WAVES.items()],
            "zones": sorted(zoneinfo.available_timezones()),
            "declares": any(device.key.server in self._previewer.declarations for device in self._selection.devices),
            "why_declare": WHY_DECLARE,
            "platforms": [
                {
                    "platform": platform.value,
                    "name": platform_name(platform),
                    "devices": versions.total(),
                    "versions": [str(version) for version in sorted(versions)],
                    "choices": [self._choice(platform, actions) for actions in choices(platform)],
                    "lines": [
                        {
                            "value": since,
                            "words": line_words(since),
                            "best": since == LINES[platform][0],
                            "default": since == DECLARE_SINCE[platform].text,
                        }
                        for since in LINES[platform]
                    ],
                }
                for platform, versions in self._platforms.items()
            ],
        }

    def _choice(self, platform: Platform, actions: Any) -> dict[str, Any]:
        versions = self._platforms[platform]
        return {
            "value": "+".join(actions),
            "words": action_words(actions),
            "best": actions == recommended(platform),
            "noticed": noticed(platform, actions),
            "unknown_to": versions.total() - known_by(actions, platform, versions),
        }


def _shown(draft: Draft, parts: Verdicts, plan: RolloutPlan) -> dict[str, Any]:
    return {
        "selected": parts.selected,
        "by_command": parts.by_command,
        "by_declaration": parts.by_declaration,
        "taking": parts.taking,
        "declared_by": declared_by(plan.declaring) if parts.by_declaration else "",
        "barred": [_part(part) for part in parts.barred],
        "unknown": [_part(part) for part in parts.unknown],
        "unmatched": len(draft.unmatched),
        "unmatched_names": [clean(name) for name in draft.unmatched[:5]],
        "waves": [
            {"part": f"wave {name}", "wave": name, "opens": opens, "devices": devices}
            for name, opens, devices in waves_of(draft)
        ],
        "held": draft.held,
        "hazards": [hazard._asdict() for hazard in hazards(plan, versions_of(draft.members), parts.by_declaration)],
        "findings": [
            {"kind": one.kind.value, "devices": one.devices, "words": one.words, "remedy": one.remedy}
            for one in draft.findings
            if one.finding is not Finding.DEPRECATED  # a hazard of the plan, said above
        ],
        "targets": [[target, devices] for target, devices in draft.targets.items()] if plan.goal else [],
        "name": plan.name,
    }


def _part(part: Part) -> dict[str, Any]:
    return {"part": part.name, "words": part.words, "remedy": part.remedy, "devices": part.devices}


# --- what a re-run finds ----------------------------------------------------------------------------------------------

_TYPED: dict[str, Fields] = {}
_TYPED_LOCK = threading.Lock()


def _remember(name: str, fields: Fields) -> None:
    with _TYPED_LOCK:
        _TYPED[name] = fields


def _recall(name: str) -> Fields | None:
    with _TYPED_LOCK:
        return _TYPED.get(name)


def forget(name: str) -> None:
    """So that the next form of this name starts afresh."""
    with _TYPED_LOCK:
        _TYPED.pop(name, None)
