"""Checkpoints of one, two, four and six stems in one run, with the values of a plain loop."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from benchsep_baselines import fetch
from benchsep_baselines.generic import Msst
from safetensors.torch import save_file

from benchsep.audio import Audio
from benchsep.datasets.load import load_dataset
from benchsep.errors import UsageError
from benchsep.runner.run import run
from tests.helpers.msst_models import CONFIGS, write

FOUR = ["drums", "bass", "other", "vocals"]
SIX = [*FOUR, "guitar", "piano"]


def usdr(reference, estimate):
    """The definition, in float64."""
    reference = reference.astype(np.float64)
    error = ((reference - estimate) ** 2).sum()
    return 10 * np.log10(((reference**2).sum() + 1e-7) / (error + 1e-7))


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Label → file; in the wrappers that trainings leave."""
    folder = tmp_path_factory.mktemp("zoo")
    found = {}

    def add(name, architecture, change, wrap=dict):
        content = copy.deepcopy(CONFIGS[architecture])
        content["audio"]["chunk_size"] = 128 * 511  # few chunks: the models are not the subject
        content["inference"]["num_overlap"] = 1
        change(content)
        found[name], _ = write(folder, architecture, content, wrap, name=name)

    def single(content):
        content["model"]["num_stems"] = 1
        content["training"]["target_instrument"] = "vocals"

    def six(content):
        content["model"]["num_stems"] = 6
        content["training"]["instruments"] = SIX

    def four(content):
        content["model"]["sources"] = content["training"]["instruments"] = FOUR

    add("two", "mdx23c", lambda content: None, lambda s: {"model_state_dict": s, "epoch": 3})
    add("single", "mel_band_roformer", single, lambda s: {
        "state_dict": {f"model.{k}": v for k, v in s.items()}})  # fmt: skip
    add("six", "bs_roformer", six, lambda s: {f"module.{k}": v for k, v in s.items()})
    add("four", "scnet", four)
    return found


def in_two_stems(outputs, mixture):
    """Vocals, and the rest by hand: the model's own, the sum of its stems, or the mixture less."""
    rest = [samples for name, samples in outputs.items() if name != "vocals"]
    instrumental = np.sum(rest, axis=0, dtype=np.float64) if rest else mixture - outputs["vocals"]
    return {"vocals": outputs["vocals"], "instrumental": instrumental}


def test_one_two_four_and_six_stems_run_beside_each_other(checkpoints, tmp_path):
    result = run(
        out=tmp_path / "run",
        systems=tuple(f"msst:checkpoint={path}" for path in checkpoints.values()),
        metrics=("usdr",),
        stem_set="vi",
        dataset="clip",
        yardsticks=False,
        inline=True,
    )
    assert not result.failed
    frame = result.cells()
    track = load_dataset("clip").tracks()[0].load()
    true = {name: audio.samples for name, audio in track.stems.items()}
    references = in_two_stems(true, track.mixture.samples)
    for name, path in checkpoints.items():
        outputs = Msst(checkpoint=str(path))._estimate(track.mixture.samples, 0)
        for stem, samples in in_two_stems(outputs, track.mixture.samples).items():
            cell = frame[(frame["system"] == f"msst@{name}") & (frame["stem"] == stem)]
            expected = usdr(references[stem], samples)
            assert cell["value"].item() == pytest.approx(expected, abs=1e-3), (name, stem)


def test_six_stems_are_four_whose_other_is_a_sum(checkpoints, clip):
    system = Msst(checkpoint=str(checkpoints["six"]))
    assert set(system.info.stems) >= set(FOUR)
    mixture = Audio(clip.mixture.samples[:, :30000], clip.mixture.rate)
    parts = system._estimate(mixture.samples, 0)
    other = system.separate(mixture, seed=0)["other"].samples
    assert np.allclose(other, parts["other"] + parts["guitar"] + parts["piano"], atol=1e-6)


def test_one_safetensors_file_is_a_checkpoint(tmp_path, clip):
    path, model = write(tmp_path, "scnet")
    one = tmp_path / "one.safetensors"
    save_file(model.state_dict(), one, {"config": json.dumps(CONFIGS["scnet"])})
    two = tmp_path / "two.safetensors"
    save_file(model.state_dict(), two)
    expected = Msst(checkpoint=str(path))
    for system in (
        Msst(checkpoint=str(one)),
        Msst(checkpoint=str(two), config=str(path.with_suffix(".yaml"))),
    ):
        piece = clip.mixture.samples[:, :9000]
        ours, theirs = system._estimate(piece, 0), expected._estimate(piece, 0)
        assert all(np.array_equal(ours[stem], theirs[stem]) for stem in theirs)


def test_a_run_pins_what_an_address_gave(tmp_path, monkeypatch):
    """A run folder that continues elsewhere refuses another file behind the same address."""
    monkeypatch.setenv("BENCHSEP_CACHE", str(tmp_path / "cache"))
    path, _ = write(tmp_path, "scnet")
    address = "https://host.invalid/x.ckpt"
    kept = fetch.parse_address(address).file
    kept.parent.mkdir(parents=True)
    kept.write_bytes(path.read_bytes())
    spec = f"msst:checkpoint={address},config={path.with_suffix('.yaml')}"

    def again():
        return run(
            out=tmp_path / "run", systems=(spec,), metrics=("usdr",), stems=("vocals",),
            dataset="clip", yardsticks=False, inline=True,
        )  # fmt: skip

    result = again()
    assert not result.failed
    info = json.loads((tmp_path / "run" / "manifest.json").read_text())["systems"]
    assert info["msst@x"]["info"]["checkpoint_sha256"]
    write(tmp_path, "scnet", wrap=lambda state: {k: v + 1 for k, v in state.items()})
    kept.write_bytes(path.read_bytes())
    kept.with_name("x.ckpt.pin.json").unlink()
    with pytest.raises(UsageError, match="its files changed since this run began"):
        again()
