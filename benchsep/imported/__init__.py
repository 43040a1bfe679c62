"""Results that others computed, as rows beside those of a run: museval's files, tables as CSV."""
