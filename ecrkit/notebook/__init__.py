"""Pictures and progress for notebooks. matplotlib and tqdm load when a function that needs them is called.

Install line: `pip install "ecrkit[notebook]"`.
"""

from ecrkit.notebook.lifecycle import forecast_band, lifecycle_timeline, savings

__all__ = ["forecast_band", "lifecycle_timeline", "savings"]
