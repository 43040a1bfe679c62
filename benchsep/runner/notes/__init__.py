"""What a run says beside its values: about estimates, songs, draws and versions of metrics.

Each module finds one kind of thing that a reader must know before trusting a number, and puts it in
a sentence. No module here changes a value.
"""
