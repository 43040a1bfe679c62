"""Training the decoder that also gets the mixture: what it learns, exact resumption, its data."""

from __future__ import annotations

import json

import pytest
import torch
from tokensep.codec.codebooks import codebooks
from tokensep.decode.guide import Guide, GuideConfig, load_guide, save_guide
from tokensep.decode.render import Renderer, TokenSource
from tokensep.errors import ConfigError, DataError
from tokensep.lm.config import InferenceConfig
from tokensep.lm.model import TokenLM
from tokensep.train import guided as training
from tokensep.train.guided import GuidedObjective, GuidedTrainConfig, error_ratio
from tokensep.train.guided_data import Maker, read_example
from tokensep.train.stereo_songs import StereoSongs
from torch import nn

from tests.helpers.lm_dummies import DummyCodec, SyntheticSongs, tiny_config

SMALL = {"n_fft": 256, "hop": 64, "bands": 12, "dim": 16, "ffn": 24, "blocks": 2, "fine": 4}
TRAIN = GuidedTrainConfig(
    examples=6, batch=2, max_steps=8, cpu_minutes=None, eval_every=4, save_every=2
)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A network of a few thousand weights; song ``two`` is held out."""
    whole = training.config_for
    monkeypatch.setattr(training, "config_for", lambda *args: whole(*args).model_copy(update=SMALL))
    monkeypatch.setattr(training, "validation_songs", lambda: ["two"])


def store():
    songs = SyntheticSongs()
    songs.facts = {"files": "synthetic"}
    return songs


def run(folder, train=TRAIN, **more):
    torch.manual_seed(0)
    maker = Maker(TokenLM(tiny_config()).eval(), DummyCodec())
    return training.train_guided(folder, maker=maker, store=store(), train=train, **more)


def rows(folder):
    lines = (folder / "valid.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "cpu_seconds"} for line in lines]


def test_a_killed_run_continues_on_the_same_curve(tmp_path):
    whole = run(tmp_path / "whole")
    run(tmp_path / "cut", stop_after=5)
    cut = run(tmp_path / "cut")
    assert cut["loss"] == whole["loss"] and cut["step"] == 8
    assert rows(tmp_path / "whole") == rows(tmp_path / "cut") != []
    a, b = (load_guide(tmp_path / n / "final").state_dict() for n in ("whole", "cut"))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_begins_with_the_weights_that_it_is_given(tmp_path):
    given = Guide(training.config_for(tiny_config(), 5))
    save_guide(tmp_path / "given", given)
    first = run(tmp_path / "next", TRAIN.model_copy(update={"lr": 0.0}), init=tmp_path / "given")
    assert first["step"] == 8
    found = load_guide(tmp_path / "next" / "final").state_dict()
    assert all(
        torch.equal(found[k], v) for k, v in load_guide(tmp_path / "given").state_dict().items()
    )


def test_a_decoder_of_other_sizes_is_no_beginning(tmp_path):
    other = training.config_for(tiny_config(), 5).model_copy(update={"dim": 8})
    save_guide(tmp_path / "given", Guide(other))
    with pytest.raises(ConfigError, match=r"--init: .*dim 8 \(expected 16\)"):
        run(tmp_path / "next", init=tmp_path / "given")


def test_examples_that_are_there_are_kept_and_others_are_refused(tmp_path):
    run(tmp_path, stop_after=1)
    examples = tmp_path / "data" / "train"
    (examples / "index.json").unlink()  # killed while it made them
    (examples / "000005.safetensors").unlink()
    kept = (examples / "000000.safetensors").stat().st_mtime_ns
    run(tmp_path, stop_after=1)
    assert (examples / "000000.safetensors").stat().st_mtime_ns == kept
    assert (examples / "000005.safetensors").is_file()
    with pytest.raises(DataError, match="remix differs"):
        run(tmp_path, TRAIN.model_copy(update={"remix": 0.1}))


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_examples_of_drawn_tokens_are_what_the_checkpoint_renders(tmp_path, share):
    """A share of the chunks; one window of a song has the renderer's own latents."""
    inference = InferenceConfig(overlap_frames=2, render="consensus", one_pass_share=share)
    maker = Maker(TokenLM(tiny_config(inference=inference)).eval(), DummyCodec())
    crops = StereoSongs(store(), {"one"}, maker.lm.config).windows(1)
    options = maker.lm.config.inference.rendered_as("consensus")
    source = TokenSource(maker.lm, maker.codec, options, codebooks(maker.codec))
    rendered = Renderer(source).render_latents(torch.from_numpy(crops[0].sum(0).mean(0)), 3)
    drawn, one = (maker.examples(crops, seeds)[0][2] for seeds in ([3], None))
    torch.testing.assert_close(drawn.float(), rendered.latents, atol=2e-3, rtol=2e-3)
    assert not torch.allclose(one, drawn)
    run(tmp_path, TRAIN.model_copy(update={"drawn": 0.5}), stop_after=1)
    for i in range(2):
        both = [read_example(tmp_path / "data" / n, i) for n in ("valid", "valid-drawn")]
        assert torch.equal(both[0][0], both[1][0]) and not torch.equal(both[0][2], both[1][2])


def test_validation_songs_are_never_trained_on(tmp_path, monkeypatch):
    seen = []
    whole = training.StereoSongs

    def watched(store, names, config):
        seen.append(names)
        return whole(store, names, config)

    monkeypatch.setattr(training, "StereoSongs", watched)
    run(tmp_path, stop_after=1)
    assert seen == [{"one"}, {"two"}]


def learned(stems, steps=40):
    """Losses while a small network learns to separate ``[B, S, 2, T]``; it is given noise."""
    torch.manual_seed(0)
    model = Guide(GuideConfig(rate=8000, frame_hop=320, latent_dim=5, **SMALL))
    batch, count, _, length = stems.shape
    generated = 0.1 * torch.randn(batch, 1, length).expand(batch, count, length)
    objective = GuidedObjective(model, GuidedTrainConfig(bands=0.0, bins=0.0))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    found = []
    for _ in range(steps):
        loss, _ = objective(stems, generated, torch.zeros(batch, count, 30, 5))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(float(loss.detach()))
    return found


def test_it_learns_a_mask_that_the_generated_stems_do_not_show():
    """Stem s sounds in a quarter of the bins."""
    spectrum = torch.fft.rfft(torch.randn(2, 4, 9600))
    edges = torch.linspace(0, spectrum.shape[-1], 5).long().tolist()
    for s in range(4):
        spectrum[:, s, : edges[s]] = 0
        spectrum[:, s, edges[s + 1] :] = 0
    mono = 0.1 * torch.fft.irfft(spectrum, 9600)
    found = learned(mono[:, :, None].expand(-1, -1, 2, -1))
    assert found[-1] < found[0] - 0.8, "8 dB better"


def test_it_learns_where_stems_stand_in_the_stereo_image():
    """White noise: one stem left, one right, two silent. Only the channels tell them apart."""
    stems = torch.zeros(2, 4, 2, 9600)
    stems[:, 0, 0], stems[:, 1, 1] = 0.1 * torch.randn(2, 2, 9600)
    found = learned(stems)
    assert found[-1] < found[0] - 0.5, "5 dB better on average, where two are silence"


def test_what_is_trained_is_what_separates(tmp_path):
    """bf16 of the training and float32 of the rendering give the same factors (default sizes)."""
    torch.manual_seed(0)
    guide = Guide(GuideConfig(latent_dim=5))
    for part in (guide.fine.exit, guide.fine.direct):  # they begin as zeros
        nn.init.normal_(part.weight, std=0.05)
    training.GuidedTrainer(tmp_path, guide, None, [], TRAIN)
    waves = 0.1 * torch.randn(1, 4, 2, 44_100 // 4)
    spectra, made = guide.spectrum(waves), guide.spectrum(waves.mean(2)).abs()
    given = guide.views(spectra.sum(1)), made, torch.randn(1, 4, 7, 5)
    with torch.no_grad():
        trained, used = (guide.train(mode)(*given) for mode in (True, False))
    assert float((trained - used).norm() / used.norm()) < 0.02


def test_the_error_ratio_is_in_bels():
    true = torch.randn(1, 1, 2, 20, 30, dtype=torch.complex64)
    for db in (0.0, 10.0, 20.0):
        found = true * (1 + 10 ** (-db / 20))
        torch.testing.assert_close(
            error_ratio(found, true, true[:, 0]), torch.tensor([[-db / 10]]), atol=5e-3, rtol=0
        )
    silent = error_ratio(0 * true, 0 * true, true[:, 0])
    assert -2.1 < float(silent) < -1.9, "silence where silence is: as good as 20 dB, and finite"


def test_nothing_to_train_on_is_said(tmp_path):
    with pytest.raises(ConfigError, match="--musdb"):
        training.main(training.Options(tmp_path, tmp_path, TRAIN))
