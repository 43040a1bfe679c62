"""Oracles: systems that use the true stems and give upper bounds.

Conventions
-----------
references   true stems at the mixture's rate, channels and length
spectrum     complex ``[channels, F, N]``: periodic Hann 2048, hop 512, per channel
mask         applied to the mixture, whose phase the estimate keeps

- ``reference``   the true stem itself: the best case, in particular for metrics without a reference
- ``wrong-song``  the true stem of the data set's next song: the value of a metric for any sound of
  this stem type
- ``oracle-irm``  ideal ratio mask ``|S_i|^p / Σ_j |S_j|^p``
- ``oracle-mwf``  multichannel Wiener filter: each stem is modelled by a power spectrogram times a
  spatial covariance per frequency bin, both from the true stems. After the MWF oracle of SiSEC 2018
  (F.-R. Stöter, A. Liutkus, N. Ito, "The 2018 Signal Separation Evaluation Campaign", LVA/ICA 2018;
  github.com/sigsep/sigsep-mus-oracle)
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from benchsep.audio import Audio, fit_length
from benchsep.errors import SeparatorError
from benchsep.systems.contract import SystemInfo
from benchsep_baselines.common import number

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZE, HOP = 2048, 512
EPS = 1e-10
"""Regularisation of covariances with unit trace, enough for a song with two identical channels."""

BINS_AT_ONCE = 64
"""Frequency bins per block of the Wiener filter, which limits its memory."""


class Reference:
    """The true stem as its own estimate."""

    about: ClassVar[dict[str, str]] = {
        "family": "oracle",
        "licence": "none needed",
        "what": "the true stem as its own estimate",
    }

    def __init__(self, *, device: str = "cpu") -> None:
        self.info = _oracle("reference")

    def separate(
        self, mixture: Audio, *, seed: int, references: dict[str, Audio]
    ) -> dict[str, Audio]:
        """The references, unchanged."""
        return dict(references)


class WrongSong:
    """The true stem of another song, at the level of the right one."""

    about: ClassVar[dict[str, str]] = {
        "family": "oracle",
        "licence": "none needed",
        "what": "the true stem of the data set's next song, level-matched",
    }

    def __init__(self, *, device: str = "cpu") -> None:
        self.info = replace(_oracle("wrong-song"), needs_other_song=True)

    def separate(
        self,
        mixture: Audio,
        *,
        seed: int,
        references: dict[str, Audio],
        other: dict[str, Audio],
    ) -> dict[str, Audio]:
        """The stems of ``other``: cut or repeated to the length, scaled to the same RMS."""
        _check(mixture, references, self.info.name)
        return {
            stem: _at_level_of(reference, other[stem].resampled(reference.rate))
            for stem, reference in references.items()
            if stem in other
        }


def _at_level_of(reference: Audio, other: Audio) -> Audio:
    """``other`` with the channels, frames and RMS of ``reference``; silence stays silence."""
    samples = other.to_channels(reference.channels).samples
    repeats = -(-reference.frames // max(samples.shape[1], 1))
    samples = np.tile(samples, (1, repeats))[:, : reference.frames]
    wanted, found = (
        np.sqrt(np.mean(np.square(s, dtype=np.float64))) for s in (reference.samples, samples)
    )
    gain = wanted / found if found else 0.0
    return Audio((samples * gain).astype(np.float32), reference.rate)


class IdealRatioMask:
    """Ideal ratio mask ``|S_i|^power / Σ_j |S_j|^power``, applied to the mixture; default
    ``power=2``.
    """

    about: ClassVar[dict[str, str]] = {
        "family": "oracle",
        "licence": "none needed",
        "what": "ideal ratio mask on the mixture (option power)",
    }

    def __init__(self, power: str | float = 2.0, *, device: str = "cpu") -> None:
        self.power = number("power", power, low=0.1, high=10)
        self.info = _oracle("oracle-irm", power=self.power)

    def separate(
        self, mixture: Audio, *, seed: int, references: dict[str, Audio]
    ) -> dict[str, Audio]:
        """Masked mixtures; silence stays silence."""
        _check(mixture, references, self.info.name)
        spectrum = _stft(mixture.samples)
        powers = {
            stem: np.abs(_stft(audio.samples)) ** self.power for stem, audio in references.items()
        }
        # The constant is used only where all stems are silent; elsewhere the masks sum to one.
        total = np.maximum(sum(powers.values()), np.finfo(np.float32).tiny)
        return {stem: _audio(spectrum * (p / total), mixture) for stem, p in powers.items()}


class MultichannelWiener:
    """Multichannel Wiener filter with the true power spectrograms and spatial covariances."""

    about: ClassVar[dict[str, str]] = {
        "family": "oracle",
        "licence": "none needed",
        "what": "multichannel Wiener filter with the true covariances",
    }

    def __init__(self, *, device: str = "cpu") -> None:
        self.info = _oracle("oracle-mwf")

    def separate(
        self, mixture: Audio, *, seed: int, references: dict[str, Audio]
    ) -> dict[str, Audio]:
        """Filtered mixtures."""
        _check(mixture, references, self.info.name)
        spectrum = _stft(mixture.samples)
        truth = np.stack([_stft(audio.samples) for audio in references.values()])
        estimate = np.empty_like(truth)
        for low in range(0, spectrum.shape[1], BINS_AT_ONCE):
            bins = slice(low, low + BINS_AT_ONCE)
            estimate[:, :, bins] = wiener(spectrum[:, bins], truth[:, :, bins])
        return {
            stem: _audio(part, mixture) for stem, part in zip(references, estimate, strict=True)
        }


def wiener(mixture: NDArray[np.complex64], truth: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """Filter ``mixture [C, F, N]`` towards each of ``truth [S, C, F, N]``.

    With ``y_j`` the true spectrum and ``R_j(f)`` its spatial covariance (mean over time of
    ``y y^H / power``, trace normalised to the number of channels, regularised by ``eps I``),
    the power is ``P_j = tr(R_j^-1 y y^H) / C`` and the estimate
    ``P_j R_j (Σ_k P_k R_k)^-1 x``. Cost: one C×C inverse per bin and frame.
    """
    channels = mixture.shape[0]
    identity = np.eye(channels)
    mixture, truth = mixture.astype(np.complex128), truth.astype(np.complex128)
    weight = 1 / np.maximum((np.abs(truth) ** 2).mean(1), np.finfo(np.float32).tiny)
    spatial = np.einsum("safn,sbfn,sfn->sfab", truth, truth.conj(), weight) / truth.shape[-1]
    trace = np.einsum("sfaa->sf", spatial).real
    spatial = spatial * (channels / np.maximum(trace, 1e-30))[..., None, None] + EPS * identity
    inverse = np.linalg.inv(spatial)
    power = np.einsum("sfab,sbfn,safn->sfn", inverse, truth, truth.conj()).real / channels
    total = np.einsum("sfn,sfab->fnab", power, spatial)
    trace = np.einsum("fnaa->fn", total).real
    total = total + (EPS * trace + np.finfo(np.float32).tiny)[..., None, None] * identity
    whitened = np.linalg.solve(total, np.moveaxis(mixture, 0, -1)[..., None])[..., 0]
    filtered = np.einsum("sfn,sfab,fnb->safn", power, spatial, whitened)
    return np.asarray(filtered, np.complex64)


def _oracle(name: str, **options: float) -> SystemInfo:
    return SystemInfo(
        name=name,
        family="oracle",
        training_data="the true stems of the track itself",
        trained_on=(),
        licence="none needed",
        needs_references=True,
        needs_accelerator=False,
        options=dict(options),
    )


def _check(mixture: Audio, references: dict[str, Audio], name: str) -> None:
    if not references:
        raise SeparatorError(f"{name}: no references were given; an oracle needs the true stems")
    for stem, audio in references.items():
        found = (audio.rate, audio.channels, audio.frames)
        expected = (mixture.rate, mixture.channels, mixture.frames)
        if found != expected:
            raise SeparatorError(
                f"{name}: reference {stem} has (rate, channels, frames) {found}, "
                f"the mixture {expected}"
            )


def _stft(samples: NDArray[np.float32]) -> NDArray[np.complex64]:
    from scipy.signal import stft

    # Padding to one window, so that the transform has the same size for short signals.
    padded = fit_length(samples, max(samples.shape[-1], SIZE))
    spectrum = stft(padded, nperseg=SIZE, noverlap=SIZE - HOP)[2]
    return np.asarray(spectrum, np.complex64)


def _audio(spectrum: NDArray[np.complex64], mixture: Audio) -> Audio:
    from scipy.signal import istft

    samples = istft(spectrum, nperseg=SIZE, noverlap=SIZE - HOP)[1]
    return Audio(fit_length(samples.astype(np.float32), mixture.frames), mixture.rate)
