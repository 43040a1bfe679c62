"""Training data that need not fit in memory or on one disk: crops are read from tar shards.

Conventions
-----------
clip      one sample of a shard: a piece of a song with its stems
number    of a crop, counted over the whole training: crop ``i`` of step ``s`` has the number
          ``s * global batch + i``; with T clips, the first T numbers are epoch 0
window    so many shards, neighbours in the order of the epoch. Clips are shuffled within a window
          and stems remixed within it: a training reads from few shards at a time

A crop is a function of (seed, number) and of the shards only. It does not depend on the number of
processes or workers, nor on what was read before. So a killed training can continue with another
number of workers or processes, and need not read the earlier data again. The shuffle buffer of
WebDataset keeps a state in each worker, so it cannot do this. The files have WebDataset's format,
and its readers can read these shards.

Modules: :mod:`archive` (a tar read by position), :mod:`shards` (the list of shards and their
clips), :mod:`order` (what is read when), :mod:`audio_crops` and :mod:`token_crops` (crops of the
codec and of the LM), :mod:`loader` (workers that read ahead).
"""
