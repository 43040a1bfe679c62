"""Token shards: pieces with stems, encoded by a frozen codec (``tokensep tokenize``).

Conventions
-----------
One shard is written for each shard of the input, under the mark of the input's job and its name
(``1f2e3d4c-shard-000012.tar``), and one for each song with stems, again in WebDataset's form. Of
each clip and variant:

``<key>.codes.npy``     int16 ``[stems, layers, frames]``, semantic layers first
``<key>.mixture.flac``  mono, 16 bit, at the codec's rate, whole token frames
``<key>.<stem>.flac``   the same of each stem, where stem audio is kept
``<key>.json``          source file and start, variant, frames, and the gain of the FLAC members

``job.json`` says what all shards of the folder were made with; a shard is written under another
name and renamed. Its content is a function of its input and of the job: how many processes share
the work, or how often they were killed, makes no difference to a byte.

Modules: :mod:`job`, :mod:`inputs`, :mod:`clips` (encoding a sample), :mod:`shard` (writing one),
:mod:`run`.
"""
