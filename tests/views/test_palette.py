"""What the palette of `tokens.json` is worth: contrast, and the difference of neighbours as others see it.

Contrast by WCAG 2.1; colour difference by CIEDE2000 (Sharma, Wu and Dalal 2005); colour-blind vision by Machado,
Oliveira and Fernandes 2009 at full severity; a grey print keeps the lightness alone.
"""

import json
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from osupdate_kit.rollout.state import State
from osupdate_kit.views.status import GROUPS
from osupdate_kit.views.tokens import tokens
from tests.paths import SHARED

Numbers = NDArray[np.float64]
THEMES = ("light", "dark")
VISIONS = {
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def linear(colour: str) -> Numbers:
    parts = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    bright, dim = sorted((float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def lab(colour: str, vision: str) -> Numbers:
    """CIELAB under D65, as a reader with this vision, or a grey print, has it."""
    light = linear(colour)
    if vision in VISIONS:
        light = np.clip(np.array(VISIONS[vision]) @ light, 0, 1)
    xyz = np.array([[0.4123908, 0.3575843, 0.1804808], [0.212639, 0.7151687, 0.0721923],
                    [0.0193308, 0.1191948, 0.9505322]]) @ light / [0.9504559, 1, 1.0890578]  # fmt: skip
    x, y, z = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * y - 16, *((0, 0) if vision == "grey" else (500 * (x - y), 200 * (y - z)))])


def difference(one: Numbers, other: Numbers) -> float:
    """CIEDE2000 of two colours in CIELAB."""
    (l1, a1, b1), (l2, a2, b2) = one, other
    mean = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    g = 0.5 * (1 - np.sqrt(mean**7 / (mean**7 + 25.0**7)))
    c1, c2 = np.hypot((1 + g) * a1, b1), np.hypot((1 + g) * a2, b2)
    h1, h2 = (np.degrees(np.arctan2(b, (1 + g) * a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    turn = 0.0 if c1 * c2 == 0 else (h2 - h1 + 180) % 360 - 180
    dh = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2))
    lm, cm = (l1 + l2) / 2, (c1 + c2) / 2
    hm = h1 + h2 if c1 * c2 == 0 else (h1 + h2) / 2 + (180 if abs(h1 - h2) > 180 else 0)
    t = (1 - 0.17 * np.cos(np.radians(hm - 30)) + 0.24 * np.cos(np.radians(2 * hm))
         + 0.32 * np.cos(np.radians(3 * hm + 6)) - 0.2 * np.cos(np.radians(4 * hm - 63)))  # fmt: skip
    sl = 1 + 0.015 * (lm - 50) ** 2 / np.sqrt(20 + (lm - 50) ** 2)
    sc, sh = 1 + 0.045 * cm, 1 + 0.015 * cm * t
    turned = np.sin(np.radians(60 * np.exp(-(((hm % 360 - 275) / 25) ** 2))))
    rt = -2 * np.sqrt(cm**7 / (cm**7 + 25.0**7)) * turned
    dl, dc = (l2 - l1) / sl, (c2 - c1) / sc
    return float(np.sqrt(dl**2 + dc**2 + (dh / sh) ** 2 + rt * dc * dh / sh))


def look(theme: str) -> dict[str, Any]:
    found: dict[str, Any] = tokens()["themes"][theme]
    return found


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, 2.5, 0.0), (50.0, 0.0, -2.5), 4.3065),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_the_difference_is_computed_as_published(one: Any, other: Any, expected: float) -> None:
    """Pairs 1, 16, 17 and 34 of the test data of Sharma, Wu and Dalal."""
    assert difference(np.array(one), np.array(other)) == pytest.approx(expected, abs=5e-5)


def test_the_tokens_are_those_that_were_designed() -> None:
    designed = json.loads((SHARED / "look" / "tokens.json").read_text(encoding="utf-8"))
    assert tokens() == designed


def test_every_state_has_its_place_word_and_group() -> None:
    assert set(tokens()["stack_order"]) == set(tokens()["states"]) == {state.value for state in State}
    assert {g: tuple(part["states"]) for g, part in tokens()["groups"].items()} == {
        g: s for g, (_, s) in GROUPS.items()
    }
    for group, part in tokens()["groups"].items():
        assert all(tokens()["states"][state]["group"] == group for state in part["states"])


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("vision", ["normal", *VISIONS, "grey"])
def test_states_that_touch_in_the_stack_can_be_told_apart(theme: str, vision: str) -> None:
    fills = look(theme)["states"]
    for below, above in pairwise(tokens()["stack_order"]):
        apart = difference(*(lab(fills[state]["fill"], vision) for state in (below, above)))
        assert apart >= 8, (below, above, apart)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("vision", ["normal", *VISIONS, "grey"])
def test_done_and_failed_never_look_alike(theme: str, vision: str) -> None:
    fills = look(theme)["states"]
    apart = difference(*(lab(fills[state]["fill"], vision) for state in ("done", "failed")))
    assert apart >= (10 if theme == "light" else 8.9)


@pytest.mark.parametrize("theme", THEMES)
def test_text_can_be_read_everywhere(theme: str) -> None:
    surface = look(theme)["surface"]
    for ink in ("ink", "ink2", "ink3"):
        assert min(contrast(surface[ink], surface[ground]) for ground in ("surface", "raised")) >= 4.5, ink
    for group, colours in look(theme)["groups"].items():
        assert contrast(colours["ink"], surface["surface"]) >= 4.5, group
        assert contrast(colours["ink"], colours["tint"]) >= 4.5, group
    for state, colours in look(theme)["states"].items():
        assert contrast(colours["fill"], colours["on"]) >= 4.5, state


@pytest.mark.parametrize("theme", THEMES)
def test_ramps_go_one_way_and_lines_can_be_told_apart(theme: str) -> None:
    for ramp in ("sequential", "sequential_lost", "sequential_put_off"):
        lightness = [lab(colour, "normal")[0] for colour in look(theme)[ramp]]
        assert lightness == sorted(lightness, reverse=theme == "light"), ramp
    for one, other in combinations(look(theme)["series"], 2):
        assert difference(lab(one, "normal"), lab(other, "normal")) >= 8
