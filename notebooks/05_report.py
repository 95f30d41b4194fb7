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
# # The report: what do we hand on?
#
# One frozen state of one rollout, written as HTML, PDF, Excel and CSV with the same numbers in all. Nothing is sent to a
# device. Run it by hand, or from a timer: `papermill 05_report.ipynb out.ipynb -p rollout_number 3`; without any notebook:
# `osupdate-kit report 3 --format html,pdf,xlsx,csv`.

# %% tags=["parameters"]
rollout_number = 0  # 0: the newest
folder = "reports"
formats = ""  # such as "html,pdf"; empty: all that can be written here (pdf needs a Chromium)

# %% jupyter={"source_hidden": true}
from IPython.display import FileLink

import osupdate_kit

kit = osupdate_kit.connect()

# %% [markdown]
# ## What is it about?
#
# The sentence and the sum that the first page shows, too.

# %%
rollout = kit.rollout(rollout_number or None)
rollout

# %% [markdown]
# ## What will it show?
#
# The figures in their order; each says in its title what it finds, and below it what adds up to what, and as of when.

# %% jupyter={"source_hidden": true}
display(*rollout.charts())

# %% [markdown]
# ## Write it
#
# Every file is whole or not there. The workbook and the CSV files name each device; hand them on with care.

# %%
written = rollout.report(folder, [one for one in formats.split(",") if one])
display(*map(FileLink, written))
