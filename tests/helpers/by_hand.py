"""A wrapped model run by hand: what the wrapper must give for any rate, channels and length."""

from __future__ import annotations

from benchsep.audio import Audio, fit_length


def by_hand(system, mixture):
    """The model's outputs at 44.1 kHz in stereo, brought back to the mixture's form."""
    inside = mixture.resampled(44_100).to_channels(2)
    samples = inside.samples
    if inside.frames < system.minimum_frames:
        samples = fit_length(samples, 44_100)
    back = {}
    for stem, output in system._estimate(samples, 0).items():
        cut = Audio(fit_length(output, inside.frames), 44_100).to_channels(mixture.channels)
        back[stem] = fit_length(cut.resampled(mixture.rate).samples, mixture.frames)
    return back
