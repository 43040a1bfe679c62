"""Training data that need not fit in memory nor on one disk: crops read out of tar shards.

Conventions
-----------
clip      one sample of a shard: a piece of a song with its stems
number    of a crop, counted over the whole training: crop ``i`` of step ``s`` has the number
          ``s * global batch + i``; with T clips, the first T numbers are epoch 0
window    so many shards, neighbours in the order of the epoch. Clips are shuffled within a window
          and stems remixed within it: a training reads from few shards at a time

A crop is a function of (seed, number) and of the shards, and of nothing else: not of the number of
processes or workers, not of what was read before. So a killed training continues anywhere, with
other workers or processes, and nothing is read to get there. The shuffle buffer of WebDataset has
a state in each worker and cannot do that; its format is what lies on the disk, and its readers
read these shards too.

Modules: :mod:`archive` (a tar read by position), :mod:`shards` (which there are, and their clips),
:mod:`order` (what is read when), :mod:`audio_crops` and :mod:`token_crops` (crops of the codec and
of the LM), :mod:`loader` (workers that read ahead).
"""
