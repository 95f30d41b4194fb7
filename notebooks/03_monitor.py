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
# # The monitor: how far are they, and does anyone need us?
#
# A rollout as it happens. What you see here is read from the store; closing the notebook stops nothing.

# %% jupyter={"source_hidden": true}
import osupdate_kit

kit = osupdate_kit.connect()
kit

# %% [markdown]
# ## Which rollout?
#
# The newest, or one by its number: `kit.rollout(3)`. The sentence is computed from the figures; below it, all selected
# devices add up.

# %%
rollout = kit.rollout()
rollout

# %% [markdown]
# ## What happens now?
#
# Top to bottom: how many are done; failures with their cause, their remedy and whether a retry can help; what the others
# wait for; what people have put off; who is *armed*, that is, may still install because of us; who has not been seen.
#
# - **Pause** sends nothing new until **Resume**. **Halt** says that something is wrong; only a person lifts it. What is on
#   the server already cannot be taken back: the armed list says who has it.
# - **Retry** gives failed devices their tries anew, those of one cause or all.
# - **Cancel** ends it for good.
#
# Every act stands in the audit log with who, when and why. By code: `rollout.pause("why")`, `rollout.resume()`,
# `rollout.halt("why")`, `rollout.retry()`; these act at once, so keep them out of cells that *Run All* reaches.

# %%
monitor = rollout.monitor()
monitor

# %% [markdown]
# ## Where was it at an earlier hour?
#
# States over time, from the same evidence. *Solid* moves by itself; *hatched* waits for somebody or something.

# %%
rollout.chart("states-over-time")

# %% [markdown]
# ## What is one device's story?
#
# Every command, every answer, and the state after it. In the monitor, click any device or type its serial; here the
# same as a table, for the device that was sent the most. Put another serial in its place.

# %% jupyter={"source_hidden": true}
shown = rollout.status(keep=lambda device: device.commands_sent > 0).devices
serial = max(shown, key=lambda device: device.commands_sent).serial if shown else ""
serial

# %%
kit.table(rollout.story(serial)) if serial else "No device has been sent anything yet. Run this again later."
