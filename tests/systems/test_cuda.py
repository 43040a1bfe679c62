"""The models on a CUDA device against the same models on the CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available(), reason="torch sees no CUDA device on this machine"
    ),
]


def snr(a: np.ndarray, b: np.ndarray) -> float:
    """Of ``b`` against ``a``, in dB."""
    return float(10 * np.log10((a**2).sum() / ((a - b) ** 2).sum().clip(1e-20)))


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """The smoke ablation, trained where ``benchsep ablate`` trains: on the device."""
    work = tmp_path_factory.mktemp("ablation")
    smoke = ROOT / "configs" / "ablations" / "smoke.yaml"
    command = [sys.executable, "-m", "benchsep", "ablate", str(smoke), "--work", str(work)]
    done = subprocess.run([*command, "--train-only", "-j", "2"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return work


@pytest.mark.parametrize("spec", ["htdemucs:shifts=0,", "bs_roformer:", "tokensep:oracle-tokens,"])
def test_a_system_gives_what_it_gives_on_the_cpu(clip, spec):
    from benchsep.systems.spec import load_system

    found = {}
    for device in ("cpu", "cuda"):
        system = load_system(f"{spec}checkpoint=mini", device=device)
        given = {"references": clip.stems} if system.info.needs_references else {}
        found[device] = system.separate(clip.mixture, seed=0, **given)
    for stem, audio in found["cpu"].items():
        # codes that lie on a border may fall to the other side of it
        assert snr(audio.samples, found["cuda"][stem].samples) > (15 if "tokens" in spec else 40)


@pytest.mark.parametrize("spec", ["htdemucs:shifts=2,", "bs_roformer:"])
def test_chunks_in_batches_give_the_same_stems(clip, spec):
    from benchsep.systems.spec import load_system

    one, four = (
        load_system(f"{spec}checkpoint=mini,batch={batch}", device="cuda").separate(
            clip.mixture, seed=0
        )
        for batch in (1, 4)
    )
    for stem, audio in one.items():
        assert snr(audio.samples, four[stem].samples) > 60


def test_a_run_scores_where_it_separates(tmp_path):
    import benchsep

    benchsep.run(
        out=tmp_path, dataset="clip", systems=("htdemucs:checkpoint=mini",), yardsticks=False,
        metrics=("bsseval", "mrstft", "visqol"), device="cuda", metric_device="cuda", jobs=2,
    )  # fmt: skip
    cells = benchsep.load_run(tmp_path)
    assert set(cells["status"]) == {"ok"}
    assert cells["metric_device"].str.startswith("cuda:0 (").all()


def test_the_lm_is_as_sure_of_the_true_tokens_as_on_the_cpu(clip):
    from tokensep.lm.losses import token_nll
    from tokensep.separator import TokenSep

    found = []
    for device in ("cpu", "cuda"):
        model = TokenSep.from_checkpoint("mini", device)
        length = model.config.window_frames * model.config.frame_hop
        stems = [clip.stems[s].mono().samples[0, :length] for s in model.config.stems]
        waves = torch.from_numpy(np.stack(stems))
        if not found:
            codes = model.codec.encode(waves).stack()[None]
        mixture = waves.sum(0, keepdim=True).to(device)
        with torch.no_grad():
            latents = model.codec.latents(model.codec.encode(mixture))
            cond = model.lm.condition(mixture, latents)
            found.append(token_nll(*model.lm(codes.to(device), cond))[0].cpu())
    assert (found[0] - found[1]).abs().max() < 0.1
    assert (found[0].mean() - found[1].mean()).abs() < 0.01


@pytest.mark.parametrize("options", ["", "draws=1,render=mean,temperature=0", "decoding=parallel"])
def test_generation_is_repeatable_and_as_good_as_on_the_cpu(clip, options):
    from benchsep.metrics.catalog import get_metric
    from benchsep.metrics.metric import References
    from benchsep.systems.spec import load_system

    metric, score = get_metric("mrstft"), {}
    for device in ("cpu", "cuda"):
        system = load_system(f"tokensep:checkpoint=mini,{options}".rstrip(","), device=device)
        stems = system.separate(clip.mixture, seed=0)
        again = system.separate(clip.mixture, seed=0)
        for stem, audio in stems.items():
            assert audio.samples.shape == clip.mixture.samples.shape
            assert snr(audio.samples, again[stem].samples) > 40
        found = metric.score_track(References(clip.stems, clip.mixture), stems, tuple(stems))
        score[device] = np.mean([scores[""].value for scores in found.values()])
    assert abs(score["cpu"] - score["cuda"]) < 0.25


def test_a_recorded_step_is_used_and_draws_what_the_plain_one_does(clip, caplog):
    from tokensep.decode import graph
    from tokensep.decode.generate import generate
    from tokensep.lm.config import SamplingConfig
    from tokensep.separator import TokenSep

    model = TokenSep.from_checkpoint("mini", "cuda")
    length = model.config.window_frames * model.config.frame_hop
    mono = clip.mixture.samples.mean(0)
    waves = torch.from_numpy(np.stack([mono[:length], mono[length : 2 * length]])).cuda()
    draw = SamplingConfig(temperature=1.0, cfg=1.5)
    with torch.no_grad():
        cond = model.lm.condition(waves, model.codec.latents(model.codec.encode(waves)))
    assert graph.recorder_for(cond.device) is not None
    plain, recorded = (
        generate(model.lm, cond, sampling=draw, codebooks=model.codebooks, step=step)
        for step in ("plain", "graph")
    )
    assert not caplog.records
    # attention over a masked cache rounds otherwise: a token that was nearly another may become it,
    # and all after it with it; the first steps are the same
    first = slice(None), 0, slice(None), slice(0, 8)
    assert (plain.codes[first] == recorded.codes[first]).float().mean() > 0.9
    error = (plain.latents - recorded.latents).square().mean() / plain.latents.square().mean()
    assert error < 0.5


def test_stems_are_placed_as_on_the_cpu(clip):
    from tokensep.dsp.stereo import place

    mixture = torch.from_numpy(np.ascontiguousarray(clip.mixture.samples))
    stems = torch.stack([torch.from_numpy(a.samples.mean(0)) for a in clip.stems.values()])
    for refine in (("none",) * 4, ("mask",) * 4, ("blend", "blend", "mask", "none")):
        there = place(mixture.cuda(), stems.cuda(), refine)
        assert there.is_cuda
        assert snr(place(mixture, stems, refine).numpy(), there.cpu().numpy()) > 60


def test_all_windows_of_a_minute_are_one_batch():
    from tokensep.decode.render import TokenSource
    from tokensep.separator import TokenSep

    model = TokenSep.from_checkpoint("mini", "cuda")
    source = TokenSource(model.lm, model.codec, model.config.inference, model.codebooks)
    assert source.batch_size() >= 92 and source.step_kind(92, 46) == "graph"


def test_variants_are_trained_and_each_is_a_system(grid, clip):
    from benchsep.systems.spec import load_system

    folders = sorted(grid.glob("variants/*/trained.json"))
    assert len(folders) == 3
    for path in folders:
        assert np.isfinite(json.loads(path.read_text()).get("nll", 0.0))
        system = load_system(f"tokensep:checkpoint={path.parent}", device="cuda")
        assert set(system.separate(clip.mixture, seed=0)) == {"vocals", "drums", "bass", "other"}


@pytest.mark.parametrize("kind", ["anchored", "grouped-delay", "interleaved-delay", "depth"])
def test_a_killed_training_continues_on_the_same_curve(tmp_path, kind):
    from tokensep.codec.codebooks import codebooks
    from tokensep.lm.model import TokenLM
    from tokensep.train import lm as training
    from tokensep.train.batches import TokenBatches
    from tokensep.train.encoding import store_songs
    from tokensep.train.token_dataset import TokenDataset

    from tests.helpers import lm_dummies
    from tests.systems.tokensep.train import test_lm as cpu

    class Codec(lm_dummies.DummyCodec):
        def to(self, device):
            self.basis, self.levels = self.basis.to(device), self.levels.to(device)
            return self

    config = lm_dummies.tiny_config(kind)
    songs = store_songs(lm_dummies.SyntheticSongs(), {"one", "two"})
    bank = TokenDataset.build(songs, lm_dummies.DummyCodec(), config, variants=2)

    def run(folder, stop_after=None):
        torch.manual_seed(0)
        model, codec = TokenLM(config), Codec()
        if kind == "anchored":
            model.fit_latent_head(codebooks(codec), torch.randint(0, lm_dummies.ENTRIES, (200, 5)))
        batches = TokenBatches(bank, cpu.TRAIN)
        trainer = training.LMTrainer(folder, model, codec, batches, bank.windows(2), cpu.TRAIN)
        assert trainer.model.tables.is_cuda
        return trainer.run(stop_after=stop_after)

    whole = run(tmp_path / "whole")
    run(tmp_path / "cut", stop_after=6)
    cut = run(tmp_path / "cut")
    # sums over threads come in any order on a GPU: equal up to rounding, not bit for bit
    curves = [cpu.losses_of(tmp_path / name) for name in ("whole", "cut")]
    assert curves[0].keys() == curves[1].keys()
    pairs = [(float(curves[0][step]), float(curves[1][step])) for step in curves[0]]
    assert max(abs(a - b) for a, b in pairs) < 1e-2
    assert abs(whole["nll"] - cut["nll"]) < 1e-2


def test_a_killed_codec_training_continues_on_the_same_curve(tmp_path):
    from tokensep.train.data import StemStore, musdb_files

    from tests.systems.tokensep.train import test_codec as cpu

    (tmp_path / "songs").mkdir()
    files = musdb_files(cpu.write_songs(tmp_path / "songs"), None, set())
    store = StemStore.build(tmp_path / "store", files, cpu.RATE)

    def curve(work, steps):
        trainer = cpu.make_trainer(store, work)
        trainer.model.train()
        trainer.resume()
        assert next(trainer.model.parameters()).is_cuda
        totals = [trainer.update()["total"] for _ in range(steps)]
        trainer.save()
        return totals

    whole = curve(tmp_path / "whole", 8)
    cut = curve(tmp_path / "cut", 5) + curve(tmp_path / "cut", 3)
    np.testing.assert_allclose(whole, cut, rtol=1e-2)


def test_a_run_on_the_device_finishes(tmp_path):
    command = [sys.executable, "-m", "benchsep", "run", "--dataset", "clip", "-j", "2"]
    systems = "tokensep:checkpoint=mini,htdemucs:checkpoint=mini,bs_roformer:checkpoint=mini"
    more = ["--systems", systems, "--metrics", "usdr,mrstft", "--device", "cuda"]
    done = subprocess.run(
        [*command, *more, "-o", str(tmp_path / "run")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    from benchsep.runner.frame import load_run

    frame = load_run(tmp_path / "run")
    models = frame[frame["system"].str.contains("mini")]
    assert len(models) and (models["status"] == "ok").all()
