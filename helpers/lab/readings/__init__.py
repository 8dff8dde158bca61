"""Sentences computed from results. Each one changes its wording when the effect is absent from this run.

A reading is Markdown that was never typed: its numbers come from arguments, so it cannot outlive the run that produced them. The tests
call every function with results that show the effect and with results that do not. `collapse` serves notebooks 00, 03 and 04,
`translation` 01, `adaptation` 02, `cure` 05, `distillation` 06, `preferences` 07, `negatives` 08, `rewards` 09,
`quantization` and `picker` 10, `parity` 11, `report` 12.
"""

from helpers.lab.readings.adaptation import *  # noqa: F403
from helpers.lab.readings.collapse import *  # noqa: F403
from helpers.lab.readings.cure import *  # noqa: F403
from helpers.lab.readings.distillation import *  # noqa: F403
from helpers.lab.readings.negatives import *  # noqa: F403
from helpers.lab.readings.parity import *  # noqa: F403
from helpers.lab.readings.picker import *  # noqa: F403
from helpers.lab.readings.preferences import *  # noqa: F403
from helpers.lab.readings.quantization import *  # noqa: F403
from helpers.lab.readings.report import *  # noqa: F403
from helpers.lab.readings.rewards import *  # noqa: F403
from helpers.lab.readings.translation import *  # noqa: F403
