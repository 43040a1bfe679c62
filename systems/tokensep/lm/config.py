"""Configurations of the conditioner, the token layout and the language model, with presets.

Conventions
-----------
The codec's own configuration is :class:`tokensep.config.CodecConfig`; what the LM needs of it
(layers, entries, frame hop, rate) is copied here, so that ``lm.json`` next to ``lm.safetensors``
is enough to build the network and to refuse a codec that does not fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from benchsep.audio import STEMS
from tokensep.config import SEED, Beta, Minutes, Share, Strict, check_counts
from tokensep.errors import ConfigError

Refine = Literal["none", "mask", "blend", "guided"]
Rendering = Literal["tokens", "mean", "consensus", "guided"]
RENDERINGS: tuple[Rendering, ...] = get_args(Rendering)
UNREFINED: tuple[Rendering, ...] = ("tokens", "guided")
"""Renderings that are not refined unless that is asked for: the codec's decoder alone, and a
decoder that gets the mixture anyway (:meth:`InferenceConfig.rendered_as`)."""


class EncoderConfig(Strict):
    """What turns the mixture into one embedding per token frame.

    ``kind="conformer"`` learns it from log-mel frames (and, with ``codec_latents``, from the frozen
    codec's own encoding of the mixture); ``kind="ssl"`` is the ablation: a frozen HuBERT and one
    linear layer.
    """

    kind: Literal["conformer", "ssl"] = "conformer"
    mels: int = 128
    n_fft: int = 2048
    frames_per_token: int = 4
    """Log-mel frames per token frame; the hop is ``frame_hop / frames_per_token``."""
    subsample: Literal["before", "after"] = "before"
    """Where mel frames are pooled to the token rate: stacked before the Conformer (cheap) or by a
    strided convolution after it (as the lineage does)."""
    codec_latents: bool = True
    latent_dim: int = 128
    """Width of the codec's continuous latents, when they are used."""
    dim: int = 192
    layers: int = 3
    heads: int = 4
    kernel: int = 15
    ffn_mult: int = 2
    dropout: Share = 0.0
    conv_norm: Literal["layer", "batch"] = "layer"
    """Norm inside the convolution; ``batch`` is the original's, ``layer`` suits small batches."""
    rope_heads: int | None = None
    """How many heads rotate (None: all; UniSE rotates the first only)."""
    ssl_name: str = ""
    """Name of the frozen model of ``kind="ssl"``, for the record; the codec's teacher is used."""
    ssl_dim: int = 192
    """Width of the frozen model's hidden states."""
    shuffled: bool = False
    """Put the frames in a random order: a condition that says what sounds and not when. The
    control of the encoder ablation; a table that cannot tell it from the real one shows nothing."""

    @model_validator(mode="after")
    def _counts(self) -> EncoderConfig:
        check_counts(self, "layers", "rope_heads")
        return self


class LayoutConfig(Strict):
    """How codes become LM steps; see :mod:`tokensep.lm.layout`."""

    kind: Literal["interleaved-delay", "grouped-delay", "depth"] = "grouped-delay"
    delays: tuple[int, ...] | None = None
    """Per-layer delay of ``grouped-delay``, semantic layers first; None: 0, 1, 2 … per layer."""

    @model_validator(mode="after")
    def _counts(self) -> LayoutConfig:
        check_counts(self, "delays")
        return self


class LMConfig(Strict):
    """A LLaMA-style decoder over token frames."""

    dim: int = 256
    layers: int = 4
    heads: int = 4
    ffn: int = 640
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-5
    dropout: Share = 0.0
    code_dim: int = 64
    """Rank of the token tables; each layer's table is both its embedding and its output head."""
    anchored: bool = False
    """Latent regression head: the frame's codec latent is estimated, and a layer's logits are
    distances of its entries to what the layers already known leave of it
    (:class:`tokensep.lm.heads.LatentRegressionHead`). Tables are then the codec's, frozen."""
    aligned: bool = True
    """Add the mixture's frame to every target step (paper.md §4 #3)."""
    prefix: bool = True
    """Put the mixture embedding in front of the tokens, as the paper does."""
    prefix_pool: int = 1
    """Token frames averaged into one prefix position."""
    depth_dim: int = 128
    depth_layers: int = 2
    depth_heads: int = 4

    @model_validator(mode="after")
    def _counts(self) -> LMConfig:
        check_counts(self)
        return self


def check_stems(option: str, found: Iterable[str], stems: Sequence[str]) -> None:
    """Refuse names that are not among ``stems``.

    Raises
    ------
    ConfigError
        Naming the option and those that it has too many.
    """
    unknown = [stem for stem in found if stem not in stems]
    if unknown:
        raise ConfigError(
            f"tokensep: {option} names {', '.join(unknown)}; the stems are {', '.join(stems)}"
        )


class SamplingConfig(Strict):
    """Settings of sampling.

    ``temperature`` 0 is greedy. Only the first ``sampled_layers`` layers (semantic first) are
    sampled, the others are greedy; None: all are sampled. ``cfg`` 1 disables guidance.
    """

    temperature: float = Field(default=0.0, ge=0)
    top_k: int | None = Field(default=None, ge=1)
    top_p: float | None = Field(default=None, gt=0, le=1)
    cfg: float = Field(default=1.0, ge=0)
    sampled_layers: int | None = Field(default=None, ge=0)


class InferenceConfig(Strict):
    """Settings of the separation; the shipped values were chosen on the validation songs.

    ``render``: the codec's decoder gets the drawn ``tokens``; or the ``mean`` of each token's
    distribution (uncertain tokens then add little instead of noise); or the ``consensus``, this
    mean averaged over all draws and overlapping windows (:mod:`tokensep.decode.consensus`).
    ``guided``: a decoder that also gets the mixture decodes this consensus
    (:mod:`tokensep.decode.guide`); it is not part of the paper, needs its own weights, and is never
    refined. ``refine="mask"``: the stems' magnitudes are used as soft masks on the mixture;
    ``"blend"``: the geometric mean of the generated magnitude and that of the masked mixture, with
    the mixture's phase, so energy remains only where both have energy; ``"guided"``: the guided
    decoder's stem from the same latents, which must be a consensus. ``draws`` > 1: number of seeds
    per window, for the consensus; otherwise the draw that sums to the mixture best is kept.
    """

    sampling: SamplingConfig = SamplingConfig()
    decoding: Literal["sequential", "parallel", "one-pass"] = "sequential"
    """One step after the other over all stems, over each stem alone, or all steps at once
    (:mod:`tokensep.decode.one_pass`)."""
    passes: int = Field(default=1, ge=1, le=64)
    """Of ``one-pass``: more than one keeps the most confident tokens for the next pass."""
    order: tuple[str, ...] | None = None
    """Stems in the order they are drawn (None: that of the configuration)."""
    render: Rendering = "tokens"
    refine: Refine | dict[str, Refine] = "none"
    """Of all stems, or of each by its name (those not named: ``none``); as text
    ``vocals:blend+drums:blend``."""
    mask_power: float = Field(default=1.0, gt=0)
    """Exponent of the magnitudes whose ratios are the masks: 2 is sharper than 1."""
    stereo: Literal["panning", "mid-side", "mono"] = "panning"
    draws: int = Field(default=1, ge=1, le=64)
    one_pass_share: float = Field(default=0.0, ge=0, lt=1)
    """Weight in a consensus of the estimate of one pass with all tokens hidden; the draws have the
    rest (:mod:`tokensep.decode.consensus`)."""
    overlap_frames: int = Field(default=8, ge=0)
    """Shared by two neighbouring windows: at most half a window, three quarters in a consensus."""
    prime: bool = False
    """Give each window the previous one's last tokens (then windows are not a batch)."""
    batch: int | None = Field(default=None, ge=1)
    """Draws of windows decoded together. None: 8, and on a GPU all of a song as far as they fit
    (:meth:`tokensep.decode.render.TokenSource.batch_size`)."""
    step: Literal["auto", "plain", "graph", "compiled", "int8"] = "auto"
    """How a decoding step is computed: by torch (``plain``), by torch as one recorded CUDA graph
    (``graph``), or ``compiled`` by numba, in fp32 or with ``int8`` weights, for which numbers
    change a little. ``auto``: a graph on CUDA; compiled where windows are decoded one by one on a
    CPU (``prime``, ``batch=1``) and there are enough of them."""
    precision: Literal["float32", "float64"] = "float32"
    """Of what decides tokens. In ``float64`` the same seed draws the same tokens on every
    processor (:mod:`tokensep.decode.precision`)."""

    @field_validator("refine", mode="before")
    @classmethod
    def _refine_by_stem(cls, value: Any) -> Any:
        """``vocals:blend+drums:blend`` as a mapping."""
        if not isinstance(value, str) or ":" not in value:
            return value
        pairs = [part.partition(":") for part in value.split("+")]
        if len({stem for stem, _, _ in pairs}) < len(pairs):
            raise ValueError("a stem occurs twice")
        return {stem: how for stem, _, how in pairs}

    def rendered_as(self, render: Rendering) -> InferenceConfig:
        """These options with another rendering and what goes with it, unless it is changed again.

        ``tokens`` and ``guided`` are not refined, and ``mean`` has no guided stems. ``guided`` uses
        the latents of one pass without guidance, because it is worse with those of drawn tokens.
        """
        data = {**self.model_dump(), "render": render}
        if render != "consensus":
            data["one_pass_share"] = 0.0
        if render in UNREFINED:
            data["refine"] = "none"
        elif render == "mean" and isinstance(self.refine, dict):  # there is no consensus to guide
            kept = {stem: how for stem, how in self.refine.items() if how != "guided"}
            data["refine"] = kept or "none"
        if render == "guided":
            data |= {"decoding": "one-pass", "passes": 1, "draws": 1, "order": None}
            data |= {"prime": False, "sampling": {**data["sampling"], "cfg": 1.0}}
        return InferenceConfig.model_validate(data)

    def refine_of(self, stems: Sequence[str]) -> tuple[Refine, ...]:
        """How each of these stems is refined.

        Raises
        ------
        ConfigError
            if ``refine`` names another stem.
        """
        by_stem = self.refine
        if isinstance(by_stem, str):
            return (by_stem,) * len(stems)
        check_stems("refine", by_stem, stems)
        return tuple(by_stem.get(stem, "none") for stem in stems)

    def guided_by_default(self, guided: Sequence[str], stems: Sequence[str]) -> InferenceConfig:
        """These options with the stems ``guided`` rendered by the guided decoder.

        Raises
        ------
        ConfigError
            One of them is not among ``stems``.
        """
        check_stems("renders of the guided decoder", guided, stems)
        by_stem = dict(zip(stems, self.refine_of(stems), strict=True))
        refine = by_stem | dict.fromkeys(guided, "guided")
        kept = {stem: how for stem, how in refine.items() if how != "none"}
        return InferenceConfig.model_validate({**self.model_dump(), "refine": kept})

    @model_validator(mode="after")
    def _one_pass(self) -> InferenceConfig:
        if self.decoding != "one-pass" and self.passes != 1:
            raise ValueError(f"passes={self.passes} is for decoding=one-pass only")
        if self.decoding == "one-pass" and (self.prime or self.order):
            raise ValueError(
                "decoding=one-pass draws all steps at once, so prime and order are not possible; "
                "leave them out"
            )
        return self

    @model_validator(mode="after")
    def _one_pass_share(self) -> InferenceConfig:
        if self.one_pass_share and self.render not in ("consensus", "guided"):
            raise ValueError(
                f"one_pass_share={self.one_pass_share:g} is a share of a consensus; expected "
                f"render=consensus, found render={self.render}"
            )
        return self

    @model_validator(mode="after")
    def _independent(self) -> InferenceConfig:
        if self.render in ("consensus", "guided") and self.prime:
            raise ValueError(
                f"render={self.render} averages windows that are drawn independently, but with "
                "prime a window depends on the one before; leave out one of them"
            )
        return self

    @model_validator(mode="after")
    def _refined_once(self) -> InferenceConfig:
        refined = self.refine if isinstance(self.refine, str) else "+".join(self.refine.values())
        if self.render == "guided" and refined.replace("none", "").strip("+"):
            raise ValueError(
                f"render=guided already uses the mixture; expected refine=none, found {refined}"
            )
        if self.refine == "guided":
            raise ValueError(
                "refine=guided would leave no generated stem; expected only some stems, such as "
                "vocals:guided+drums:guided, or render=guided"
            )
        if "guided" in refined and self.render != "consensus":
            raise ValueError(
                "guided stems are made from a consensus of latents; expected render=consensus, "
                f"found render={self.render}. Or set refine as well, such as refine=none"
            )
        return self


class TokenSepConfig(Strict):
    """The separator: conditioner + layout + LM, and the codec facts they were built for."""

    stems: tuple[str, ...] = STEMS
    """In the order in which they are generated."""
    rate: int = 44_100
    frame_hop: int = 1764
    codebook_size: int = 512
    semantic_layers: int = 4
    acoustic_layers: int = 12
    encoder: EncoderConfig = EncoderConfig()
    layout: LayoutConfig = LayoutConfig()
    lm: LMConfig = LMConfig()
    window_frames: int = 64
    """Token frames per window at training and at inference."""
    loudness: float = -20.0
    """RMS in dBFS to which a song's mixture is brought before anything else."""
    inference: InferenceConfig = InferenceConfig()

    @property
    def layers(self) -> int:
        """Codebooks per frame, semantic first."""
        return self.semantic_layers + self.acoustic_layers

    @property
    def frame_rate(self) -> float:
        """Token frames per second."""
        return self.rate / self.frame_hop

    @model_validator(mode="after")
    def _consistent(self) -> TokenSepConfig:
        check_counts(self, "semantic_layers", "acoustic_layers")
        for name in ("stems", "layers"):
            if not getattr(self, name):
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected 1 or more")
        if len(set(self.stems)) < len(self.stems):
            raise ValueError(f"stems {', '.join(self.stems)}: one occurs twice")
        if self.layout.delays is not None and len(self.layout.delays) != self.layers:
            raise ValueError(
                f"{len(self.layout.delays)} delays for {self.layers} layers "
                f"({self.semantic_layers} semantic + {self.acoustic_layers} acoustic)"
            )
        if self.lm.anchored and self.layout.kind == "depth":
            raise ValueError("lm.anchored needs a delay layout; a depth head orders layers itself")
        for name, width, heads in (
            ("lm", self.lm.dim, self.lm.heads),
            ("lm.depth", self.lm.depth_dim, self.lm.depth_heads),
            ("encoder", self.encoder.dim, self.encoder.heads),
        ):
            if heads < 1 or width < 1 or width % heads or (width // heads) % 2:
                raise ValueError(f"{name}: {width} does not split into {heads} heads of even width")
        if self.inference.overlap_frames * 2 > self.window_frames:
            raise ValueError(
                f"overlap_frames {self.inference.overlap_frames} is more than half of "
                f"window_frames {self.window_frames}"
            )
        if self.frame_hop % self.encoder.frames_per_token:
            raise ValueError(
                f"frame_hop {self.frame_hop} is not a multiple of frames_per_token "
                f"{self.encoder.frames_per_token}"
            )
        return self


class LMTrainConfig(Strict):
    """Settings of the LM's training.

    Progress is the largest of steps / ``max_steps``, CPU time / ``cpu_minutes`` and wall time /
    ``wall_minutes``; the learning rate follows it. Only a training with a limit in steps alone is
    reproducible on every machine.
    """

    seed: int = SEED
    batch: int = Field(default=4, ge=1)
    lr: float = Field(default=1e-3, gt=0)
    lr_min_ratio: Share = 0.02
    betas: tuple[Beta, Beta] = (0.9, 0.95)
    weight_decay: float = Field(default=0.05, ge=0)
    warmup: int = Field(default=50, ge=0)
    clip: float = Field(default=1.0, gt=0)
    ema: float = Field(default=0.99, ge=0, lt=1)
    accumulate: int = Field(default=1, ge=1)
    precision: Literal["no", "bf16"] = "no"
    recompute: bool = False
    """Activation checkpointing: see :mod:`tokensep.recompute`."""
    cpu_minutes: Minutes = None
    wall_minutes: Minutes = None
    max_steps: int = Field(default=1_000_000, ge=1)
    eval_every: int = Field(default=200, ge=1)
    save_every: int = Field(default=100, ge=1)
    loss: Literal["uniform", "first_heavy", "geometric"] = "geometric"
    loss_factor: float = Field(default=0.9, gt=0)
    """Weight of the first layer (``first_heavy``) or ratio between layers (``geometric``)."""
    label_smoothing: Share = 0.0
    regression: float = Field(default=1.0, ge=0)
    """Weight of the squared error of the estimated latents (``lm.anchored``)."""
    condition_dropout: Share = 0.1
    """Probability that a crop's mixture is hidden, for classifier-free guidance."""
    token_dropout: Share = 0.3
    """Probability that a step's input tokens are hidden, so that a small LM uses the mixture."""
    dropout: Share | None = None
    """Of the LM and its encoder, in place of their configuration's: also for ``--init``."""
    one_pass: Share = 0.0
    """Chance that all input tokens of a crop are hidden, as ``decoding=one-pass`` hides them."""
    self_feeding: Share = 0.0
    """Largest share of a crop's steps whose input tokens are the model's own draws instead of the
    true ones (scheduled sampling in two passes, 1906.07651): at inference it sees no others."""
    parallel_fraction: Share = 0.0
    """Share of batches in which stems do not see each other."""
    remix: Share = 0.5
    """Chance that a crop's stems come from different songs."""
    mixture: Literal["sum", "recorded"] = "sum"
    """Of a crop of one song: the sum of its stems, or the recording that was labelled, with what
    the labels miss. Remixed crops and songs with true stems are sums in any case."""
    variants: int = Field(default=4, ge=1)
    """Augmented encodings per training excerpt."""
    shuffle_shards: int = Field(default=16, ge=1)
    """Token shards among whose clips crops are shuffled and remixed (a window of the stream)."""
    workers: int = Field(default=0, ge=0, le=1024)
    """Processes that read token shards ahead, beside each training process; any number gives the
    same crops."""


PRESETS: dict[str, TokenSepConfig] = {
    "mini": TokenSepConfig(
        lm=LMConfig(dim=256, layers=4, heads=4, ffn=512, prefix_pool=4, anchored=True),
        encoder=EncoderConfig(dim=192, layers=3, ffn_mult=2),
        layout=LayoutConfig(delays=(0, 1, 1, 1, 1, 2, 3, 3, 4, 4, 5, 5, 5, 5, 5, 5)),
        inference=InferenceConfig(
            sampling=SamplingConfig(temperature=1.0, cfg=1.5),
            render="consensus",
            refine={"vocals": "blend", "drums": "blend"},
            draws=2,
            one_pass_share=0.5,
            overlap_frames=32,
        ),
    ),
    "small": TokenSepConfig(
        rate=44_100,
        frame_hop=1764,
        codebook_size=1024,
        semantic_layers=8,
        acoustic_layers=8,
        encoder=EncoderConfig(
            dim=512, layers=6, heads=8, kernel=31, ffn_mult=4, dropout=0.1, latent_dim=256
        ),
        lm=LMConfig(dim=512, layers=12, heads=8, ffn=2048, code_dim=128, dropout=0.1),
        layout=LayoutConfig(delays=(0, 1, 1, 1, 2, 2, 2, 2, 1, 2, 3, 3, 4, 4, 4, 4)),
        window_frames=128,
    ),
    "paper": TokenSepConfig(
        rate=48_000,
        frame_hop=3840,
        codebook_size=1024,
        semantic_layers=16,
        acoustic_layers=16,
        encoder=EncoderConfig(
            dim=512,
            layers=6,
            heads=8,
            kernel=31,
            ffn_mult=4,
            dropout=0.1,
            subsample="after",
            codec_latents=False,
            rope_heads=1,
        ),
        lm=LMConfig(
            dim=1024, layers=16, heads=16, ffn=4096, code_dim=512, aligned=False, dropout=0.1
        ),
        layout=LayoutConfig(kind="interleaved-delay"),
        window_frames=64,
    ),
}
