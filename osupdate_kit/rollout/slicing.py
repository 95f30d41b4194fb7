"""Slicing: which device goes in which wave.

Pure, and the same answer for the same devices whoever asks: a percentage goes by a hash of the serial that no plan
changes, so a device that was in a pilot of 5 percent is in every pilot of 10. Leaves when a wave opens to `gates.py`.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

from osupdate_kit.errors import PlanError, SelectionError
from osupdate_kit.fleet.devices import Device
from osupdate_kit.fleet.inventory import COLUMNS, value_of
from osupdate_kit.fleet.selection import criterion
from osupdate_kit.rollout.policy import DAY
from osupdate_kit.rollout.waves import Wave

_SALT = b"osupdate-kit waves"  # never to be changed: it would shuffle every pilot
_WHOLE = 1 << 64
_ALL = 99.999999  # what shares such as 33.3 + 33.3 + 33.4 add up to


def place(device: Device) -> float:
    """Where a device stands between 0 and 100, by its serial, or its UDID where nobody knows that."""
    name = device.serial or device.udid or device.key.enrollment_id
    digest = hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=8, key=_SALT).digest()
    return int.from_bytes(digest) * 100 / _WHOLE


def slices(devices: Sequence[Device], waves: Sequence[Wave]) -> list[str]:
    """The wave's name of each device, in their order; each wave takes of what earlier ones left.

    devices: those that the plan reaches by command, once each. Raises PlanError when no wave takes some of them.
    """
    names = [""] * len(devices)
    left: Iterable[int] = range(len(devices))
    tops = [top if top < _ALL else 101.0 for top in accumulate(wave.who.percent for wave in waves)]
    columns: set[str] | None = None
    for wave, low, top in zip(waves, [0.0, *tops], tops, strict=False):
        if columns is None and (wave.who.where or wave.who.cover):
            columns = COLUMNS.keys() | {column for device in devices for column in device.attributes}
        taken = _taken(devices, left, wave, (low, top), columns or set())
        for index in taken:
            names[index] = wave.name
        left = [index for index in left if not names[index]]
    if left := list(left):
        raise PlanError(
            f"{len(left):,} of {len(devices):,} devices are in no wave, {_called(devices[left[0]])} among them.",
            remedy="Add a last wave without `who`: it takes the rest.",
        )
    return names


def _taken(
    devices: Sequence[Device], left: Iterable[int], wave: Wave, span: tuple[float, float], columns: set[str]
) -> Iterable[int]:
    who = wave.who
    if who.where:
        try:
            fits = criterion(who.where, more_columns=columns)
        except SelectionError as error:
            raise PlanError(f"Wave {wave.name}: {error.args[0]}", remedy=error.remedy) from None
        return [index for index in left if fits(devices[index])]
    if who.serials:
        wanted = frozenset(who.serials)
        return [index for index in left if not wanted.isdisjoint(_names(devices[index]))]
    if who.cover:
        if unknown := set(who.cover) - columns:
            raise PlanError(
                f"Wave {wave.name} covers {', '.join(sorted(unknown))}: no such column.",
                remedy=f"Columns: {', '.join(sorted(columns))}.",
            )
        return _covering(devices, left, who.cover)
    if who.percent:
        low, high = span
        return [index for index in left if low <= place(devices[index]) < high]
    return list(left)


def _covering(devices: Sequence[Device], left: Iterable[int], columns: Sequence[str]) -> Iterable[int]:
    """One device of every combination: no smaller set has them all.

    The one seen last, for it is likeliest to answer; of those seen on one day, the first by hash.
    """
    readers = [_reader(column) for column in columns]
    best: dict[tuple[object, ...], tuple[int, float, str, int]] = {}
    for index in left:
        device = devices[index]
        combination = tuple([reader(device) for reader in readers])
        known = best.get(combination)
        unseen = -(device.last_seen_at // DAY)
        if known is None or unseen <= known[0]:
            mine = (unseen, place(device), str(device.key), index)
            best[combination] = mine if known is None else min(known, mine)
    return [index for *_, index in best.values()]


def _reader(column: str) -> Callable[[Device], object]:
    return COLUMNS.get(column) or (lambda device: value_of(device, column))


def _names(device: Device) -> tuple[str, str, str]:
    return device.serial, device.udid, device.key.enrollment_id


def _called(device: Device) -> str:
    return device.serial or device.udid or str(device.key)
