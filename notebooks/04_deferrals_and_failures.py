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
# # Deferrals and failures: who is not there yet, and whose move is it?
#
# For the newest rollout, as of now. A deferral is a person's choice, a failure has a cause and a remedy, a contradiction is
# something that we do not believe yet.

# %% jupyter={"source_hidden": true}
import osupdate_kit

kit = osupdate_kit.connect()
rollout = kit.rollout()
rollout

# %% [markdown]
# ## Why did devices fail?
#
# Counted: failed and expired devices, each once, by its last cause. The remedy stands beside the cause; where a retry
# helps, the monitor offers it.

# %%
rollout.chart("failures")

# %% jupyter={"source_hidden": true}
kit.table(rollout.chart("failures").table)

# %% [markdown]
# ## Is it the model, or the place?
#
# Rates per 100 tried; groups with fewer than 30 devices show counts, because a rate would say nothing.

# %%
display(rollout.chart("failures-by-model"), rollout.chart("failures-by-site"))

# %% [markdown]
# ## What have people put off?
#
# Macs count their deferrals and tell when they mean to install. iPhones, iPads and Apple TVs tell neither: that one of
# them is deferred is *presumed* from an accepted install that does not happen, and shown apart.

# %%
display(rollout.chart("deferrals"), rollout.chart("next-installs"))

# %% jupyter={"source_hidden": true}
kit.table(rollout.chart("deferrals").table)

# %% [markdown]
# ## What does not fit together?
#
# Devices that do something else than they were asked for, that reported the target and later less, or whose evidence
# contradicts itself. None is good news.

# %%
kit.table(rollout.contradictions())

# %% [markdown]
# ## Who has used up all deferrals, or waits the longest?
#
# Put-off devices, most deferrals first. *Armed* says where the install is: on the server, or on the device already.

# %% jupyter={"source_hidden": true}
columns = ["serial", "platform", "site", "os_version", "deferrals_used", "deferrals_remaining", "armed"]
put_off = rollout.devices().query("state in ('deferred', 'not_now')")
kit.table(put_off.sort_values(["deferrals_used", "serial"], ascending=[False, True])[columns])
