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

``job.json`` states the codec and settings of all shards of the folder. A shard is written under
another name and then renamed. Its content is a function of its input and of the job: the bytes do
not depend on the number of processes or on interruptions.

Modules: :mod:`job`, :mod:`inputs`, :mod:`clips` (encoding a sample), :mod:`shard` (writing one),
:mod:`run`.
"""
