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
# # Quickstart: from a fleet to a report
#
# The whole job in ten cells: look at the fleet, select, plan, begin, watch, report. `osupdate-kit lab` has started a
# simulated school district for it, which lives much faster than real time, behind an MDM server with NanoMDM's API. Run
# the cells one by one with **Shift+Enter**.
#
# The same notebook runs before your own server; then it begins nothing by itself (see *Begin*).

# %% [markdown]
# ## Is everything there?
#
# Settings say which servers and which store; no address and no key stands in a notebook. *A service works* must be among
# the lines: it is what sends, receives and follows every device, whether a notebook is open or not.

# %%
import osupdate_kit

kit = osupdate_kit.connect()
kit

# %% [markdown]
# ## What do we have?
#
# Counted: every enrolled device once, by the version that it reported itself.

# %%
devices = kit.devices().replace({"os_version": {"": "not told yet"}})
devices.groupby(["os_version", "platform"]).size().unstack(fill_value=0)

# %% [markdown]
# ## Whom do we mean?
#
# A criterion over the columns; versions compare as versions. Every device left out has its reason.

# %%
chosen = kit.select(where='platform == "iPadOS" and os_version < "26.6.1"')
chosen

# %% [markdown]
# ## What would happen?
#
# The verdict on each selected device, before anything is stored or sent. Barred devices get nothing, and say why.

# %%
draft = kit.plan(chosen, target="26.6.1", allow_major=True, deadline="14d", name="iPads to 26.6.1")
draft

# %% [markdown]
# ## Begin
#
# `rehearse` begins at once **only in the lab**: it asks every server, and only the lab's says that its devices are
# simulated. Before a real server it begins nothing and gives the newest rollout, if there is one: real devices get a plan
# from [02_plan_and_issue](02_plan_and_issue.ipynb), where a person confirms it. Run again, it does not begin a second one.

# %%
rollout = kit.rehearse(draft)
rollout

# %% [markdown]
# ## Watch
#
# Live: every number is a link to its devices, every device tells its story, and the buttons act. First the devices are
# *knocking* (woken, not seen yet) or *queued*; an iPad without a passcode restarts by itself, one with a passcode asks.

# %%
rollout.monitor()

# %% [markdown]
# ## How far are they?
#
# This cell waits until half of them are done, a minute at most. Look at the title: it states what the figures say. *Done* counts
# only devices that reported the version.

# %%
rollout.wait_for(done=0.5, seconds=60)
rollout.chart("states-over-time")

# %% [markdown]
# ## What keeps the others?
#
# Each failed device once, by its last cause, with what to do about it. Nothing has failed yet? Run the cell again later.

# %%
rollout.chart("failures")

# %% [markdown]
# ## Tell the others
#
# One page for people (HTML and, where a Chromium is installed, PDF), a workbook, and the data. The same numbers in all.

# %%
from IPython.display import FileLink

written = rollout.report("reports")
display(*(FileLink(path) for path in written if path.suffix != ".csv"))

# %% [markdown]
# ## Where does it stand now?
#
# Run this cell again whenever you like; the rollout goes on without the notebook. Then read on: [the
# fleet](01_fleet.ipynb), [plan and issue](02_plan_and_issue.ipynb), [the monitor](03_monitor.ipynb), [deferrals and
# failures](04_deferrals_and_failures.ipynb), [the report](05_report.ipynb).

# %%
rollout
