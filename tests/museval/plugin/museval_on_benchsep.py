"""A pytest plugin: museval's own functions, on benchsep's engine.

pytest -p museval_on_benchsep MUSEVAL/tests/test_bsseval.py …
"""

import museval.metrics

from benchsep.museval.api import bss_eval

museval.metrics.bss_eval = bss_eval
