"""Pictures: `plot_report` draws one run, `plot_validation` draws what real runs did beside what the simulator says.

matplotlib is imported in this package and nowhere else, and without pyplot: a picture is a value, no window and no global state.

    timeline      one run
    validation    real runs beside the simulator
    style         colours, and how an axis is dressed
"""

from kafkasim.plots.timeline import plot_report
from kafkasim.plots.validation import plot_validation

__all__ = ["plot_report", "plot_validation"]
