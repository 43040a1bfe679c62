"""What a training step hides from the LM."""

from __future__ import annotations

import torch
from tokensep.lm.config import LMTrainConfig
from tokensep.train import masks


def test_one_pass_hides_all_tokens_of_its_share_of_crops_and_moves_no_other_choice():
    without = LMTrainConfig(token_dropout=0.2)
    some = without.model_copy(update={"one_pass": 0.3})
    crops = range(400)
    hide, keep = masks.hidden_mixtures_and_visible_tokens(without, 7, crops, 4, 20)
    hide_too, keep_too = masks.hidden_mixtures_and_visible_tokens(some, 7, crops, 4, 20)
    hidden = ~keep_too.flatten(1).any(1)
    assert 0.22 < hidden.float().mean() < 0.38
    assert torch.equal(hide, hide_too) and torch.equal(keep[~hidden], keep_too[~hidden])
    assert keep.flatten(1).any(1).all()
