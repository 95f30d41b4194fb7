# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The fleet: who do we have, and whom do we mean?
#
# The MDM server knows what a device says of itself; your lists know where it stands and whose it is. Here both come
# together, and devices are chosen from them. Nothing in this notebook sends anything to a device.

# %% jupyter={"source_hidden": true}
from pathlib import Path

import pandas as pd

import osupdate_kit

kit = osupdate_kit.connect()
kit

# %% [markdown]
# ## Do the servers answer?
#
# Each server of the settings is asked for its version, and whether it takes our key. If one does not, *remedy* says what
# to do.

# %%
kit.table(pd.DataFrame(kit.check_servers()))

# %% [markdown]
# ## What do we know?
#
# Counted: enrolled devices by platform, and how many of them have told their version and whether they are supervised.
# Who has not told is *unknown*, which is never taken for a yes: such a device is asked when it is next seen.

# %% jupyter={"source_hidden": true}
devices = kit.devices()
told = devices.replace({"platform": {"": "not known"}, "os_version": {"": None}})
told = told.groupby("platform")[["udid", "os_version", "supervised"]].count()
told.rename(columns={"udid": "devices", "os_version": "version known", "supervised": "supervision known"})

# %% [markdown]
# ## What do our own lists add?
#
# A CSV file or an Excel workbook with a serial or a UDID in each row; further columns are taken over as they are named:
# site, ring, owner, time zone, or what you like. Rows that match no device are named below, one by one. Nobody is asked
# anything. Put the name of your own list here; the lab has written one.

# %%
my_list = Path("../fleet.csv")
kit.enrich(my_list) if my_list.exists() else f"There is no list at {my_list}."

# %% [markdown]
# ## Who is who?
#
# One row per device. Type `/` to search, filter below each heading, select by click, Shift, Space or Ctrl+A; the line above
# the rows always says how many are selected, and how many of them a filter hides. Hatched rows can't be selected, with the
# reason. Run the cell again: filters and selection come back.

# %%
grid = kit.grid(kit.devices(), name="fleet")
grid

# %% [markdown]
# ## Can I keep this selection?
#
# For as long as the kernel lives by running the cell again; for longer in a file. Only keys are written. An empty
# selection overwrites nothing.

# %%
kept = Path("selection.csv")
if len(grid.selected):
    grid.selected[["server", "enrollment_id"]].to_csv(kept, index=False)
matched = grid.select(pd.read_csv(kept, dtype=str)) if kept.exists() else None
print(matched or "Nothing is selected, and nothing was kept before.")

# %% [markdown]
# ## Can it be written down?
#
# A criterion is a selection that people can read, mail and run again next month. Lists of serials will do as well:
# `kit.select(["C02ABC…", …])`. What is left out is counted by its reason.

# %%
kit.select(where='platform == "macOS" and supervised and os_version < "26.6.2"')
