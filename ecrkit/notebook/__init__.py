"""Pictures and progress for notebooks. matplotlib and tqdm load when a function that needs them is called.

Install line: `pip install "ecrkit[notebook]"`.
"""

from ecrkit.notebook.lifecycle import forecast_band, lifecycle_timeline, savings
from ecrkit.notebook.progress import ProgressBar, progress_bar
from ecrkit.notebook.storage import bill_bars, growth_lines, layer_sharing, storage_bars, storage_treemap

__all__ = [
    "ProgressBar",
    "bill_bars",
    "forecast_band",
    "growth_lines",
    "layer_sharing",
    "lifecycle_timeline",
    "progress_bar",
    "savings",
    "storage_bars",
    "storage_treemap",
]
