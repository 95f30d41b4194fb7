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
# # The first real day: from a running server to the first verified device
#
# One step after another, each with what must be true before the next. Nothing here begins anything; what begins is a click
# in *Confirm*, or a command that is named. Before this notebook, in a terminal on the machine where the service shall run:
#
# 1. `osupdate-kit init` asks for the server's address and key, writes the settings, makes the webhook key, and prints the
#    flags to set on the server. Set them, and restart the server.
# 2. `osupdate-kit serve`, or the unit of your system, begins to listen. Leave it running.

# %%
import osupdate_kit

kit = osupdate_kit.connect()
kit

# %% [markdown]
# ## Is every hop whole?
#
# From the settings to the webhook, in order: *ok*, *failed* with what to do, or *not looked at* and why. Mend the first that
# failed, and run the cell again. Push and webhook can only be known once a device has answered.

# %%
kit.doctor()

# %% [markdown]
# ## Does one device answer?
#
# Take one that lies before you: on, unlocked, on the network. Put its serial or UDID here. It is woken and asked what it is, by
# the way that all commands go; it installs nothing. Two minutes at most.

# %%
test_device = ""
kit.doctor(test_device) if test_device else "Name a device, and run this cell again."

# %% [markdown]
# ## Whom does the server know?
#
# A server does not list who enrolled long ago. Tell the kit, once: a list (CSV, Excel) with a UDID in each row, and what else you
# know beside it, such as serial, site, ring, time zone; or NanoMDM's own database, by its address. Who is new, or has told too
# little, is woken and asked, 2,000 a minute. Devices that check in later are met by themselves.

# %%
from pathlib import Path

source = "../fleet.csv"
known = "://" in source or Path(source).exists()
kit.sync(source) if known else f"There is no list at {source}."

# %% [markdown]
# ## Who has answered, and who never did?
#
# Run it again while the answers come in. *Never seen* and *not seen for a week* stay in every count: a plan bars who has told no
# version, with that reason, and never takes silence for a yes.

# %%
import pandas as pd

devices = kit.devices()
quiet = pd.Timestamp(kit.now(), unit="us", tz="UTC") - devices["last_seen_at"]
contact = quiet.gt("7D").map({True: "not seen for a week", False: "seen"})
contact = contact.where(devices["last_seen_at"].notna(), "never seen")
told = devices["os_version"].ne("").map({True: "version told", False: "version not told"})
pd.crosstab([devices["platform"].replace("", "not known"), contact.rename("contact")], told.rename(""))

# %% [markdown]
# ## What is true on this server?
#
# Before the fleet, one test device goes the whole way: `osupdate-kit prove`, with its UDID, in a terminal. It asks before it
# installs, keeps what the device said (redacted), and writes a page of what differs from what Apple documents. Read it: that is
# how your server and your devices are. Here is what happened to the device so far.

# %%
kit.why(test_device) if test_device else "Name a device above, and run this cell again."

# %% [markdown]
# ## Who goes first?
#
# A canary: one device of each model and version, the one seen last, five at a time; the others only when a person opens their
# wave. Look at who is barred, and why. Without a time zone in your list say `time_zone="Europe/Berlin"`, or whatever is true.

# %%
chosen = kit.select(where='platform == "iPadOS"')
canary = {"name": "canary", "who": {"cover": ["model", "os_version"]}, "pace": 5}
waves = [canary, {"name": "broad", "opens": {"by_hand": True}}]
draft = kit.plan(chosen, target="latest-minor", waves=waves, window="20:00-05:00", deadline="14d", name="First canary")
draft

# %% [markdown]
# ## Shall it begin?
#
# Read it, then click. Where your settings name a number of devices for it, the rollout waits until another person approves.

# %%
kit.confirm(draft)

# %% [markdown]
# ## How do they fare?
#
# The monitor of the newest rollout. When the canary is done, open the next wave here, or leave it shut and look first.

# %%
kit.rollout().monitor() if kit.rollouts() else "Nothing has begun yet."

# %% [markdown]
# ## And every Monday after?
#
# What came to an end, and what needs a person, with what to do. The same without a notebook: `osupdate-kit today`.

# %%
kit.today("7d")
