"""Stems for recordings that have none: a teacher's estimates, filtered, in shards.

Conventions
-----------
shard     ``shard-000012.tar`` in WebDataset's form: the members of one sample share a key,
          ``<key>.mixture.flac``, ``<key>.<stem>.flac`` (16 bit) and ``<key>.json`` with source
          file, start, gain (what was multiplied to keep peaks below 1) and residual
piece     a stretch of a recording of at most ``piece_seconds``: one sample
quality   a piece is dropped, with its reason in ``shard-000012.json``, when the mixture is near
          silence or when the stems miss it: residual =
          10 log10(|mix|^2 / |mix - sum stems|^2) is low

Which pieces form which shard depends only on the folder, so any number of processes can share the
work without communication (shard i belongs to rank i mod world). A second process of the same rank
is refused while the first one runs. A shard is written under another name and then renamed: a shard
that exists is complete, and a second run skips it. Shards are read as a stream: one sample in
memory at a time.

Modules: :mod:`settings`, :mod:`recordings` (files and their lengths), :mod:`pieces` (cutting and
reading), :mod:`quality` (what is dropped), :mod:`shard` (writing one), :mod:`reading`,
:mod:`job` (a whole folder), :mod:`plan`.
"""

from tokensep.train.pseudo_labels.job import alone, run
from tokensep.train.pseudo_labels.pieces import Piece, find_pieces, read_piece
from tokensep.train.pseudo_labels.quality import residual_db
from tokensep.train.pseudo_labels.reading import Sample, shards_in, songs, stream
from tokensep.train.pseudo_labels.settings import Label, Settings
from tokensep.train.pseudo_labels.shard import add_member, add_sample, write_shard

__all__ = [
    "Label",
    "Piece",
    "Sample",
    "Settings",
    "add_member",
    "add_sample",
    "alone",
    "find_pieces",
    "read_piece",
    "residual_db",
    "run",
    "shards_in",
    "songs",
    "stream",
    "write_shard",
]
