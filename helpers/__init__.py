"""The small tested package behind the notebooks. One floor per question; an import only ever points down.

`triage` is the ground floor (what an answer is) and `statistics` says how sure a figure is; `cases` and
`audit` are about data; `translate` and `teacher` get more of it; `train`, `evaluate` and `recipes` are about
models; `lab` caches what was trained and keeps what was measured; `show` draws it.
"""

import os

# Read once, when torch starts. Threads that wait by spinning take the cores from whatever else runs; threads
# that sleep do not, and a training that runs alone is about as fast with them.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
