"""Which rows are picked: a mask over the frame, so that a million cost a megabyte; ranges grow from an anchor."""

import numpy as np

from osupdate_kit.views.grid.columns import Mask, Rows


class Picks:
    """The picked rows. What may not be picked is never in it. A mask is never changed once it is made."""

    def __init__(self, barred: Mask) -> None:
        self._barred = barred
        self._anchor = -1  # row from which a range grows
        self.set(np.zeros_like(barred))

    def __len__(self) -> int:
        return int(np.count_nonzero(self.rows))

    def set(self, rows: Mask) -> None:
        self.rows = self._before = rows & ~self._barred

    def add(self, rows: Mask) -> None:
        self.set(self.rows | rows)

    def flip(self, rows: Mask) -> None:
        """Turn round what these rows are; the others stay."""
        self.set(self.rows ^ rows)

    def toggle(self, row: int) -> None:
        one = np.zeros_like(self.rows)
        one[row] = True
        self.flip(one)
        self._anchor = row

    def extend(self, view: Rows, start: int, to: int) -> None:
        """Pick from the anchor to the place `to` of this view; going back gives up what the same range had added.

        `start`: the place where the range starts if the anchor is not in view.
        """
        at = np.flatnonzero(view == self._anchor)
        if at.size:
            start = int(at[0])
        else:
            self._anchor, self._before = int(view[start]), self.rows
        first, last = sorted((start, to))
        self.rows = self._before.copy()
        self.rows[view[first : last + 1]] = True
        self.rows &= ~self._barred
