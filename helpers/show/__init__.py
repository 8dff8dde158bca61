"""Figures and widgets: the five `primitives` of the series, and what every figure goes through."""

from helpers.show.figures import answer_card, color_of, finding, gates, patient_box, predict, present, table
from helpers.show.primitives import bars, dots, forest, heatmap, lines, source
