"""What people wait for in JupyterLab, as ratios of one run."""
