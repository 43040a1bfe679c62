"""museval's call and file format on benchsep's BSSEval engine."""
