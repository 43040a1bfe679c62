"""An LM trained on an imported H-Codec-2.0: tokens, steps, export, separation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tokensep.codec.hcodec2.weights import import_hcodec
from tokensep.codec.model import HCodec
from tokensep.config import PRESETS as CODECS
from tokensep.lm.config import PRESETS, LMTrainConfig
from tokensep.lm.model import TokenLM
from tokensep.lm.weights import load_lm
from tokensep.separator import CODEC_FACTS, TokenSep
from tokensep.train import lm as training
from tokensep.train.batches import TokenBatches
from tokensep.train.encoding import store_songs
from tokensep.train.token_dataset import TokenDataset

from tests.helpers.hcodec2 import publish
from tests.helpers.lm_dummies import SyntheticSongs, tiny_config
from tests.helpers.public_codecs import saved

pytest.importorskip("transformers")


def test_an_lm_learns_the_imported_codecs_tokens_and_separates(tmp_path: Path) -> None:
    weights, config = publish(tmp_path)
    hubert = str(saved("hubert", tmp_path))
    import_hcodec(weights, config, tmp_path / "codec", hubert)
    codec = HCodec.from_checkpoint(tmp_path / "codec")
    facts = {
        "rate": codec.rate,
        "frame_hop": codec.frame_hop,
        "codebook_size": codec.codebook_size,
        "semantic_layers": codec.semantic_layers,
        "acoustic_layers": codec.acoustic_layers,
    }
    separator = tiny_config("interleaved-delay", **facts, window_frames=8)
    encoder = separator.encoder.model_copy(update={"latent_dim": 2 * codec.config.latent_dim})
    separator = separator.model_copy(update={"encoder": encoder})
    songs = store_songs(SyntheticSongs(seconds=1.0), {"one", "two"})
    bank = TokenDataset.build(songs, codec, separator, variants=1)
    settings = LMTrainConfig(batch=2, warmup=1, max_steps=2, save_every=2, eval_every=2)
    torch.manual_seed(0)
    batches, valid = TokenBatches(bank, settings), bank.windows(2)
    run = tmp_path / "run"
    training.LMTrainer(run, TokenLM(separator), codec, batches, valid, settings).run()
    model = TokenSep(load_lm(run / "final"), codec)
    song = np.random.default_rng(0).normal(0, 0.1, (2, 3000)).astype(np.float32)
    stems = model.separate(song, 8000)
    assert all(s.shape == song.shape and np.isfinite(s).all() for s in stems.values())


def test_the_papers_lm_and_the_published_codec_fit() -> None:
    lm, codec = PRESETS["paper"], CODECS["hcodec-2"]
    for fact in CODEC_FACTS:
        assert getattr(lm, fact) == getattr(codec, fact), fact
    assert not lm.encoder.codec_latents or lm.encoder.latent_dim == 2 * codec.latent_dim
