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
# # Plan and issue: who gets what, when, and what will people notice?
#
# Select in the grid, fill in the plan, read the preview, confirm. Until the last click of the confirmation nothing is
# stored and nothing is sent; *Run All Cells* cannot make that click.

# %% jupyter={"source_hidden": true}
import osupdate_kit

kit = osupdate_kit.connect()
kit

# %% [markdown]
# ## Whom do we mean?
#
# Filter, then **Ctrl+A** in the rows selects all that the filter shows. The selection stays when the filter changes; the
# line above the rows says how many selected devices it hides.

# %%
grid = kit.grid(name="plan")
grid

# %% [markdown]
# ## What shall they do?
#
# The form offers what Apple allows per platform. Look at the preview beside it: *by command* is who gets
# `ScheduleOSUpdate`; every other selected device is counted with its reason, and each number is a link that shows its
# devices in the grid. All parts add up to the selection.
#
# For most fleets: the recommended actions (download first, then install), a window outside working hours, a week. A target
# can be a rule, too: `latest-minor` gives each device the newest release within its major version. To leave that needs a
# yes of its own, *may leave it*: there is no way back.

# %%
builder = kit.plan_builder(grid, targets=["26.6.1", "26.6.2", "18.7.2"])
builder

# %% [markdown]
# ## Is that what we want?
#
# The last look: how many of each platform, what people will notice, who is hidden by the filter, whose inventory is old.
# Any change above disarms it. The number on the button is the number of devices.

# %%
confirm = kit.confirm(builder, grid=grid)
confirm

# %% [markdown]
# ## And now?
#
# Once it has begun, the state column of the grid above is live, and the rollout goes on without this notebook. Watch it in
# [03_monitor](03_monitor.ipynb), where it can be paused and halted, too.
#
# A plan can also come from a criterion, without the grid: `kit.confirm(kit.plan(kit.select(where=…), target="26.6.1", allow_major=True))`.
