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

BINS_AT_ONCE = 16
"""Frequency bins per block of the Wiener filter, which limits its memory."""

FRAMES_AT_ONCE = 256
"""Frames of a spectrum per block: 3 s."""


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
        spectrum, truth = Frames(mixture), [Frames(audio) for audio in references.values()]
        sums = {stem: OverlapAdd(mixture, spectrum.count) for stem in references}
        for block in blocks(spectrum.count):
            powers = [np.abs(frames[block]) ** self.power for frames in truth]  # [C, F, n] each
            # A tiny constant only where all stems are silent: elsewhere the masks sum to one.
            total = np.maximum(sum(powers), np.finfo(np.float32).tiny)
            mixed = spectrum[block]
            for estimate, power in zip(sums.values(), powers, strict=True):
                estimate.add(block, mixed * (power / total))
        return {stem: estimate.audio() for stem, estimate in sums.items()}


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
        signals = (mixture, *references.values())
        # A frame's bins side by side, as scipy has them: sums over frames round by this order.
        count = frame_count(mixture.frames)
        room = (len(signals), mixture.channels, count, SIZE // 2 + 1)
        spectra = np.moveaxis(np.empty(room, np.complex64), 2, 3)  # [1 + S, C, F, N]
        for spectrum, audio in zip(spectra, signals, strict=True):
            frames = Frames(audio)
            for block in blocks(count):
                spectrum[:, :, block] = frames[block]
        mixed, stems = spectra[0], spectra[1:]
        for low in range(0, mixed.shape[1], BINS_AT_ONCE):
            bins = slice(low, low + BINS_AT_ONCE)
            # The estimate takes the place of the truth, which is not read again.
            stems[:, :, bins] = wiener(mixed[:, bins], stems[:, :, bins])
        return {
            stem: _audio(spectrum, mixture)
            for stem, spectrum in zip(references, stems, strict=True)
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


def frame_count(samples: int) -> int:
    """Number of frames of a signal; one shorter than a window is padded to a window."""
    return 1 + -(-max(samples, SIZE) // HOP)


def blocks(count: int) -> list[slice]:
    """All of ``count`` frames, :data:`FRAMES_AT_ONCE` per block."""
    starts = range(0, count, FRAMES_AT_ONCE)
    return [slice(low, min(low + FRAMES_AT_ONCE, count)) for low in starts]


class Frames:
    """The spectrum ``[C, F, N]`` of a signal, block of frames by block: that of ``scipy.signal``.

    The whole of four minutes of stereo has 340 MB, and twice as much while it is computed.
    """

    def __init__(self, audio: Audio) -> None:
        # Padding to one window keeps the transform's size for signals shorter than it.
        frames = max(audio.frames, SIZE)
        self.count = frame_count(frames)
        samples = fit_length(audio.samples, frames)
        behind = (self.count - 1) * HOP + SIZE - SIZE // 2 - frames
        self._padded = np.pad(samples, ((0, 0), (SIZE // 2, behind)))

    def __getitem__(self, block: slice) -> NDArray[np.complex64]:
        from scipy.signal import stft

        part = self._padded[:, block.start * HOP : (block.stop - 1) * HOP + SIZE]
        # `padded` adds nothing here, but makes scipy compute in double precision.
        spectrum = stft(part, nperseg=SIZE, noverlap=SIZE - HOP, boundary=None, padded=True)[2]
        return np.asarray(spectrum, np.complex64)


class OverlapAdd:
    """The signal of a spectrum that comes block by block, in order: ``scipy.signal.istft``."""

    def __init__(self, mixture: Audio, frames: int) -> None:
        from scipy.signal import get_window

        self.mixture = mixture
        self._window = get_window("hann", SIZE).astype(np.float32)
        length = (frames - 1) * HOP + SIZE
        self._sum = np.zeros((mixture.channels, length), np.float32)
        self._norm = np.zeros(length, np.float32)

    def add(self, block: slice, spectrum: NDArray[np.complex64]) -> None:
        """Frames ``block`` of the spectrum, ``[C, F, n]``."""
        from scipy.fft import irfft

        segments = irfft(spectrum, axis=-2, n=SIZE)  # [C, SIZE, n]
        segments *= self._window.sum()
        segments = np.moveaxis(segments, -1, 0).copy()  # [n, C, SIZE]: samples side by side
        segments *= self._window
        square = self._window**2
        for at, segment in zip(
            range(block.start * HOP, block.stop * HOP, HOP), segments, strict=True
        ):
            self._sum[:, at : at + SIZE] += segment
            self._norm[at : at + SIZE] += square

    def audio(self) -> Audio:
        """The signal, as long as the mixture."""
        inner = slice(SIZE // 2, -(SIZE // 2))
        norm = self._norm[inner]
        samples = self._sum[:, inner]
        samples /= np.where(norm > 1e-10, norm, 1.0)
        return Audio(fit_length(samples, self.mixture.frames), self.mixture.rate)


def _audio(spectrum: NDArray[np.complex64], mixture: Audio) -> Audio:
    count = spectrum.shape[-1]
    out = OverlapAdd(mixture, count)
    for block in blocks(count):
        out.add(block, spectrum[:, :, block])
    return out.audio()
