from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from tokensep.codec.codebooks import codebooks
from tokensep.codec.interface import Codes
from tokensep.dsp import stereo as placing
from tokensep.dsp.windows import fade, window_starts
from tokensep.errors import AudioError, CheckpointError, ConfigError
from tokensep.lm.config import STEMS, InferenceConfig, SamplingConfig
from tokensep.lm.model import TokenLM
from tokensep.lm.weights import CONFIG, WEIGHTS, load_lm, save_lm
from tokensep.separator import TokenSep

from tests.helpers.lm_dummies import HOP, RATE, DummyCodec, tiny_config

DRAW = SamplingConfig(temperature=1.0)
QUICK = InferenceConfig(overlap_frames=2, sampling=DRAW)


@pytest.fixture(scope="module")
def system() -> TokenSep:
    torch.manual_seed(0)
    return TokenSep(TokenLM(tiny_config()), DummyCodec())


def noise(channels: int, samples: int, seed: int = 0, level: float = 0.1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, level, (channels, samples)).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 11025, 44100])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("stereo", ["panning", "mid-side", "mono"])
def test_shape_and_rate_are_the_mixtures(system, rate, channels, stereo):
    audio = noise(channels, rate + 17)
    kept = audio.copy()
    stems = system.separate(audio, rate, options=QUICK.model_copy(update={"stereo": stereo}))
    assert tuple(stems) == STEMS
    for stem in stems.values():
        assert stem.shape == audio.shape and stem.dtype == np.float32 and np.isfinite(stem).all()
    assert np.array_equal(audio, kept)


def test_a_vector_gives_vectors(system):
    assert system.separate(noise(1, 900)[0], RATE)["bass"].shape == (900,)


@pytest.mark.parametrize("samples", [1, 7, 800])
def test_very_short_songs(system, samples):
    """Masked stems add up to the mixture; unmasked ones follow its level."""
    audio = noise(2, samples)
    masked = system.separate(audio, RATE, options=QUICK.model_copy(update={"refine": "mask"}))
    assert all(stem.shape == (2, samples) for stem in masked.values())
    np.testing.assert_allclose(sum(masked.values()), audio, atol=1e-6)
    plain, loud = (system.separate(gain * audio, RATE, options=QUICK) for gain in (1, 4))
    for stem in STEMS:
        assert plain[stem].shape == (2, samples) and plain[stem].any()
        np.testing.assert_allclose(loud[stem], 4 * plain[stem], rtol=1e-3, atol=1e-5)


def test_silence_gives_silence(system):
    stems = system.separate(np.zeros((2, 3000)), RATE)
    assert all(not s.any() for s in stems.values())


def test_a_silent_window_of_a_song_stays_silent(system):
    audio = noise(1, 40 * HOP)
    audio[:, 14 * HOP :] = 0
    stems = system.separate(audio, RATE, options=QUICK)
    assert all(not s[:, 24 * HOP :].any() for s in stems.values())


def test_clipped_and_loud_audio_is_separated(system):
    audio = np.clip(noise(2, 4000, level=3.0), -1, 1)
    loud, quiet = system.separate(audio, RATE), system.separate(0.01 * audio, RATE)
    for stem in STEMS:
        assert loud[stem].shape == audio.shape and loud[stem].any()
        np.testing.assert_allclose(loud[stem], 100 * quiet[stem], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.full((2, 100), np.nan), "NaN or infinite"),
        (np.zeros((2, 0)), r"no samples: shape \(2, 0\)"),
        (np.zeros((2, 3, 4)), r"shape \(2, 3, 4\), expected \[channels, "),
        (np.zeros((4000, 2)), "axes look swapped"),
    ],
)
def test_bad_audio_is_refused_in_words(system, audio, message):
    with pytest.raises(AudioError, match=message):
        system.separate(audio, RATE)
    with pytest.raises(AudioError, match="sample rate 3 Hz"):
        system.separate(np.zeros((1, 10)), 3)


def test_the_level_of_the_mixture_does_not_matter(system):
    """Loudness is normalised once and undone: twice as loud in, twice as loud out."""
    audio = noise(1, 5000)
    quiet = system.separate(audio, RATE, options=QUICK)
    loud = system.separate(8 * audio, RATE, options=QUICK)
    for stem in STEMS:
        np.testing.assert_allclose(loud[stem], 8 * quiet[stem], rtol=1e-3, atol=1e-5)


def test_the_seed_decides_and_the_batch_does_not(system):
    audio = noise(1, 45 * HOP)
    a = system.separate(audio, RATE, seed=1, options=QUICK.model_copy(update={"batch": 1}))
    b = system.separate(audio, RATE, seed=1, options=QUICK.model_copy(update={"batch": 4}))
    c = system.separate(audio, RATE, seed=2, options=QUICK)
    for stem in STEMS:
        np.testing.assert_allclose(a[stem], b[stem], atol=1e-5)
    assert any(not np.allclose(a[s], c[s]) for s in STEMS)


def test_priming_continues_the_previous_window(system, monkeypatch):
    import tokensep.decode.render as module

    seen = []
    real = module.generate

    def spy(*args, **kwargs):
        result = real(*args, **kwargs)
        seen.append((kwargs["prompt"], result.codes))
        return result

    monkeypatch.setattr(module, "generate", spy)
    options = QUICK.model_copy(update={"prime": True})
    system.separate(noise(1, 30 * HOP), RATE, options=options)
    assert seen[0][0] is None and len(seen) == 3
    for (_, before), (prompt, after) in pairwise(seen):
        assert torch.equal(prompt, before[..., -2:])
        assert torch.equal(after[..., :2], prompt)


def test_more_draws_never_add_up_worse(system):
    """Reranking keeps the draw whose stems add up to the mixture best."""
    from tokensep.decode.render import log_mel_distance
    from tokensep.lm.conditioner import LogMel

    audio = noise(1, 12 * HOP)
    mel = LogMel(RATE, 2048, 512, 80)

    def distance(draws: int) -> float:
        options = QUICK.model_copy(update={"draws": draws})
        stems = system.separate(audio, RATE, seed=3, options=options)
        total = torch.from_numpy(np.sum(list(stems.values()), axis=0))
        gain = 0.1 / float(np.sqrt((audio**2).mean()))
        return float(log_mel_distance(gain * total, gain * torch.from_numpy(audio), mel))

    one, eight = distance(1), distance(8)
    assert eight < one


def test_true_context_changes_what_comes_after_the_first_stem(system):
    mixture, rng = noise(1, 9000), np.random.default_rng(3)
    truth = {s: rng.normal(0, 0.1, (1, 9000)).astype(np.float32) for s in STEMS}
    greedy = InferenceConfig(overlap_frames=2, stereo="mono")
    plain = system.separate(mixture, RATE, options=greedy)
    told = system.separate(mixture, RATE, options=greedy, truth=truth)
    assert np.array_equal(plain["vocals"], told["vocals"])
    assert not np.array_equal(plain["other"], told["other"])
    turned = greedy.model_copy(update={"order": STEMS[::-1]})
    backwards = system.separate(mixture, RATE, options=turned, truth=truth)
    alone = system.separate(mixture, RATE, options=turned)
    assert np.array_equal(backwards["other"], alone["other"])
    with pytest.raises(ConfigError, match="sequential"):
        parallel = greedy.model_copy(update={"decoding": "parallel"})
        system.separate(mixture, RATE, options=parallel, truth=truth)
    with pytest.raises(AudioError, match="true bass is missing"):
        system.separate(mixture, RATE, truth={k: v for k, v in truth.items() if k != "bass"})


def test_windows_cover_and_weights_add_up():
    for length in (1, 10, 11, 95, 100, 101, 5000):
        starts = window_starts(length, 100, 20)
        total = torch.zeros(starts[-1] + 100)
        for s in starts:
            total[s : s + 100] += fade(100, 20, s == 0, s == starts[-1])
        assert len(total) >= length
        torch.testing.assert_close(total, torch.ones_like(total))


def mask_mixture(mixture: np.ndarray, stems: np.ndarray) -> np.ndarray:
    return placing.mask_mixture(torch.from_numpy(mixture), torch.from_numpy(stems)).numpy()


def pan(mixture: np.ndarray, stems: np.ndarray) -> np.ndarray:
    return placing.pan(torch.from_numpy(mixture), torch.from_numpy(stems)).numpy()


def blend_mixture(mixture: np.ndarray, stems: np.ndarray) -> np.ndarray:
    return placing.blend_mixture(torch.from_numpy(mixture), torch.from_numpy(stems)).numpy()


def whole_stft(wave: torch.Tensor) -> torch.Tensor:
    """All of a signal at once, by torch."""
    return torch.stft(wave, 2048, 512, window=torch.hann_window(2048), return_complex=True)


def whole_istft(spectrum: torch.Tensor, length: int) -> torch.Tensor:
    return torch.istft(spectrum, 2048, 512, window=torch.hann_window(2048), length=length)


@pytest.mark.parametrize("length", [1, 2047, 2048, 2049, 16 * 512, 20_000])
def test_spectra_in_blocks_are_torchs(monkeypatch, length):
    from tokensep.dsp import spectra

    monkeypatch.setattr(spectra, "BLOCK", 16)
    wave = torch.from_numpy(noise(2, length))
    filled = torch.nn.functional.pad(wave, (0, max(0, 2048 - length)))
    parts = list(spectra.blocks([wave]))
    found = torch.cat([found for _, (found,) in parts], -1)
    assert len(parts) == -(-found.shape[-1] // 16)
    assert torch.equal(found, whole_stft(filled))
    one, cpu = torch.ones(1), torch.device("cpu")
    out = spectra.Synthesis((3, 2), length, cpu)
    for first, (part,) in parts:
        out.add(first, (1,), part, one)
    made = out.finish()
    assert made.shape == (3, 2, length) and not made[[0, 2]].any()
    torch.testing.assert_close(made[1], wave, atol=1e-6, rtol=1e-5)
    odd = found * torch.linspace(0, 2, 1025)[:, None]  # what no signal has as its spectrum
    out = spectra.Synthesis((2,), length, cpu)
    out.add(0, (), odd, one)
    torch.testing.assert_close(
        out.finish(), whole_istft(odd, max(length, 2048))[:, :length], atol=1e-5, rtol=1e-4
    )


def test_placing_in_blocks_is_placing_at_once(monkeypatch, clip):
    """The definitions, on whole spectra of a real song."""
    from tokensep.dsp import spectra

    monkeypatch.setattr(spectra, "BLOCK", 100)
    mixture = np.ascontiguousarray(clip.mixture.samples)
    stems = np.stack([clip.stems[s].samples.mean(0) for s in STEMS])
    length = mixture.shape[1]
    mixed, own = whole_stft(torch.from_numpy(mixture)), whole_stft(torch.from_numpy(stems))

    def shares(power: float) -> torch.Tensor:
        level = own.abs() ** power
        level = level + 1e-3 * level.mean((1, 2), keepdim=True) + 1e-12
        return level / level.sum(0)

    masked = torch.stack([whole_istft(share * mixed, length) for share in shares(1.0)])
    np.testing.assert_allclose(mask_mixture(mixture, stems), masked, atol=2e-6)
    edges = torch.unique((1024 * torch.linspace(0, 1, 25) ** 2.5).round().long()).tolist()
    edges[-1] += 1
    gains = torch.ones(4, 2, 1025)
    mono = mixed.mean(0).abs() ** 2
    for s, share in enumerate(shares(2.0)):
        for low, high in pairwise(edges):
            there = (share[low:high] * mixed[:, low:high].abs() ** 2).sum((1, 2))
            all_in_all = (share[low:high] * mono[low:high]).sum()
            gains[s, :, low:high] = ((there + 1e-9) / (all_in_all + 1e-9)).sqrt()[:, None]
    placed = torch.stack(
        [whole_istft(g.clamp(0, 2)[..., None] * o, length) for g, o in zip(gains, own, strict=True)]
    )
    np.testing.assert_allclose(pan(mixture, stems), placed, atol=1e-5)
    blended = blend_mixture(mixture, stems)
    monkeypatch.setattr(spectra, "BLOCK", 100_000)
    np.testing.assert_allclose(blended, blend_mixture(mixture, stems), atol=1e-5)


def test_masked_stems_add_up_to_the_mixture():
    mixture = noise(2, 9000)
    stems = noise(4, 9000, seed=1)
    masked = mask_mixture(mixture, stems)
    assert masked.shape == (4, 2, 9000)
    np.testing.assert_allclose(masked.sum(0), mixture, atol=1e-5)


def test_a_blend_lies_between_generated_and_masked_in_every_bin():
    """With generated stems equal to the masked mixture the blend is that; else it is in between."""
    rng = np.random.default_rng(4)
    stems = rng.normal(0, 0.1, (4, 9000)).astype(np.float32)
    mixture = stems.sum(0, keepdims=True)
    masked = mask_mixture(mixture, stems)[:, 0]
    blended = blend_mixture(mixture, stems)[:, 0]
    assert blended.shape == stems.shape and np.isfinite(blended).all()
    own, other, both = (
        np.sqrt(np.mean(np.abs(whole_stft(torch.from_numpy(x.copy())).numpy()) ** 2, axis=(1, 2)))
        for x in (stems, masked, blended)
    )
    assert (both < np.maximum(own, other) * 1.02).all() and (both > 0.3 * other).all()
    quiet = blend_mixture(mixture, stems * np.array([[1], [0], [1], [1]], np.float32))
    assert np.abs(quiet[1]).max() < 0.1 * np.abs(blended[1]).max()


@pytest.mark.parametrize("mode", ["mono", "mid-side"])
def test_stems_without_refinement_are_placed_as_the_mode_says(mode):
    """The side of the mixture is separated only where a stem needs it."""
    mixture, stems = noise(2, 9000), torch.from_numpy(noise(4, 9000, seed=1))
    asked = []

    def separate_mono(signal: np.ndarray, song: int) -> torch.Tensor:
        asked.append(song)
        return stems if song == 0 else 0.5 * stems

    some = placing.Stereo(mode, ("none", "mask", "blend", "none")).separate(mixture, separate_mono)
    left, right = (1.5, 0.5) if mode == "mid-side" else (1.0, 1.0)
    for s in (0, 3):
        np.testing.assert_allclose(some[s], np.stack([left * stems[s], right * stems[s]]))
    np.testing.assert_allclose(some[1], mask_mixture(mixture, stems.numpy())[1], atol=1e-6)
    np.testing.assert_allclose(some[2], blend_mixture(mixture, stems.numpy())[2], atol=1e-6)
    asked.clear()
    placing.Stereo(mode, ("blend",) * 4).separate(mixture, separate_mono)
    assert asked == [0]


def test_masks_from_the_true_stems_separate_them():
    """With true magnitudes the mask is the ideal ratio mask: far better than the mixture."""
    time = np.arange(16000) / RATE
    true = np.stack([0.2 * np.sin(2 * np.pi * f * time) for f in (200, 700, 1500, 3000)])
    mixture = true.sum(0, keepdims=True).astype(np.float32)
    masked = mask_mixture(mixture, true.astype(np.float32))[:, 0]
    error = ((masked - true) ** 2).sum(1) / (true**2).sum(1)
    assert (10 * np.log10(error) < -20).all()


def test_panning_finds_where_a_stem_is():
    time = np.arange(16000) / RATE
    true = np.stack([0.2 * np.sin(2 * np.pi * f * time) for f in (200, 700, 1500, 3000)])
    true = true.astype(np.float32)
    gains = np.array([[1.0, 1.0], [1.6, 0.4], [0.2, 1.8], [1.0, 1.0]], np.float32)
    mixture = np.einsum("sc,st->ct", gains, true)
    placed = pan(mixture, true)
    found = np.sqrt((placed**2).mean(-1)) / np.sqrt((true**2).mean(-1))[:, None]
    np.testing.assert_allclose(found, gains, atol=0.1)


def test_codebooks_add_up_to_the_latents():
    codec = DummyCodec()
    books = codebooks(codec)
    codes = torch.randint(0, 16, (1, 5, 9))
    total = sum(books[k][codes[0, k]] for k in range(5))
    torch.testing.assert_close(total, codec.latents(Codes.unstack(codes, 2))[0])


def test_oracle_is_the_codec(system):
    stem = noise(2, 11 * HOP + 5)
    back = system.oracle(stem, RATE, level=0.1)
    assert back.shape == stem.shape
    codec = DummyCodec()
    wave = torch.from_numpy(stem)
    expected = codec.decode(codec.encode(wave))[:, : stem.shape[1]].numpy()
    np.testing.assert_allclose(back, expected, atol=0.02)
    assert not system.oracle(np.zeros((1, 100)), RATE, level=0.1).any()


def test_an_lm_for_another_codec_is_refused():
    other = DummyCodec()
    other.frame_hop = 640
    with pytest.raises(CheckpointError, match="frame_hop 320, this codec has 640"):
        TokenSep(TokenLM(tiny_config()), other)


def test_weights_round_trip_and_bad_files_are_named(tmp_path):
    torch.manual_seed(1)
    model = TokenLM(tiny_config())
    save_lm(tmp_path, model, half=False)
    again = load_lm(tmp_path)
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in model.state_dict().items())

    whole = (tmp_path / WEIGHTS).read_bytes()
    (tmp_path / WEIGHTS).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load_lm(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(whole)
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps({**config, "surprise": 1}))
    with pytest.raises(ConfigError, match="surprise"):
        load_lm(tmp_path)
    wider = {**config, "lm": {**config["lm"], "dim": 64}}
    (tmp_path / CONFIG).write_text(json.dumps(wider))
    with pytest.raises(CheckpointError, match="do not fit this model"):
        load_lm(tmp_path)
    (tmp_path / CONFIG).write_text("{")
    with pytest.raises(CheckpointError, match="not JSON"):
        load_lm(tmp_path)
    with pytest.raises(CheckpointError, match="no such folder"):
        TokenSep.from_checkpoint(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"lm\.json is missing"):
        load_lm(tmp_path / "nowhere")


def test_weights_with_nan_are_refused(tmp_path):
    model = TokenLM(tiny_config())
    with torch.no_grad():
        model.stem[0, 0] = float("nan")
    save_lm(tmp_path, model)
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        load_lm(tmp_path)


def test_the_package_imports_without_torch():
    import subprocess
    import sys

    code = "import sys, tokensep; assert 'torch' not in sys.modules; tokensep.TokenSep"
    subprocess.run([sys.executable, "-c", code], check=True)
