"""Pictures: `plot_report` draws one run, `plot_validation` real runs beside the simulator, `draw` a study; `save` writes them.

`draw_effects` draws the Morris effects of a study.

matplotlib is imported in this package and nowhere else, and without pyplot: a picture is a value, no window and no global state.

    timeline, validation               one run; real runs beside the simulator
    study                              `draw`: the kind that was asked for, or that fits
    curve, heatmap, trade_off,
    small_multiples, parallel,
    sensitivity                        one kind each
    key_table, heights                 parts of these: named points; a scale with a floor for zero
    sentences                          titles
    offers, lines, levels, measure     what is drawn, as data
    style                              colours, the slide, saving
"""

from kafkasim.plots.study import KINDS, check_kind, draw, draw_effects
from kafkasim.plots.style import save
from kafkasim.plots.timeline import plot_report
from kafkasim.plots.validation import plot_validation

__all__ = ["KINDS", "check_kind", "draw", "draw_effects", "plot_report", "plot_validation", "save"]
