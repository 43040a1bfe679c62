"""Residual vector quantisation: EMA codebooks, k-means start, dead-code revival.

Follows SoundStream (Zeghidour et al. 2021, arXiv 2107.03312) and the behaviour of
``vector_quantize_pytorch.ResidualVQ``: the same codebooks give the same indices (tested).

Layer k codes what the layers before it left. With ``r_0 = x``,

    i_k = argmin_v |r_k - c_kv|,   r_{k+1} = r_k - c_k[i_k],   x ~ sum_k c_k[i_k].

Conventions
-----------
``[B, F, D]`` vectors, int64 ``[B, K, F]`` codes; distance Euclidean; layer 0 first. Codebooks are
buffers: the optimizer never sees them. Several processes average their statistics. Everything
here is computed in float32, under autocast too: in bf16, with a relative precision of 2^-8, the
nearest entry is often wrong, and small additions to running sums are lost.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from tokensep.codec.kmeans import kmeans, nearest


def _sum_over_processes(x: Tensor) -> Tensor:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(x)
    return x


class Codebook(nn.Module):
    """One layer: ``size`` entries of ``dim``, moved by averages of the vectors they stand for."""

    entries: Tensor
    counts: Tensor
    sums: Tensor
    ready: Tensor

    def __init__(self, size: int, dim: int, decay: float, dead: float) -> None:
        super().__init__()
        self.size, self.decay, self.dead = size, decay, dead
        self.register_buffer("entries", torch.randn(size, dim))
        self.register_buffer("counts", torch.ones(size))
        self.register_buffer("sums", torch.zeros(size, dim))
        self.register_buffer("ready", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def start(self, vectors: Tensor, per_step: int | None = None) -> None:
        """Place the entries by k-means (process 0's, sent to the others).

        ``per_step``: vectors that a training step will bring, if not as many as are given here.
        """
        centres, sizes = kmeans(vectors, self.size, 12)  # [V, D], [V]
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.broadcast(centres, 0)
            torch.distributed.broadcast(sizes, 0)
        self.entries.copy_(centres)
        # counts are per training step, as the running averages and the threshold `dead` are
        self.counts.copy_(sizes.clamp_min(1) * ((per_step or len(vectors)) / len(vectors)))
        self.sums.copy_(centres * self.counts[:, None])
        self.ready.fill_(True)

    @torch.no_grad()
    def update(self, vectors: Tensor, index: Tensor) -> None:
        """Move the entries towards the vectors they were chosen for; replace unused ones.

        ``vectors [N, D]``, ``index [N]``. Exponential moving averages with decay d, over all
        processes (online k-means; VQ-VAE, arXiv 1711.00937, appendix A):

            n_v <- d n_v + (1 - d) |{i: index_i = v}|
            s_v <- d s_v + (1 - d) sum_{i: index_i = v} vectors_i
            c_v  = s_v / n_v
        """
        counts = torch.bincount(index, minlength=self.size).to(vectors.dtype)
        sums = torch.zeros_like(self.sums).index_add_(0, index, vectors)
        counts, sums = _sum_over_processes(counts), _sum_over_processes(sums)
        self.counts.mul_(self.decay).add_(counts, alpha=1 - self.decay)
        self.sums.mul_(self.decay).add_(sums, alpha=1 - self.decay)
        self.entries.copy_(self.sums / self.counts.clamp_min(1e-4)[:, None])
        # An entry that is hardly used takes a random vector of this step instead. It starts with
        # twice the threshold's count, so that it has some steps to be chosen.
        dead = self.counts < self.dead
        number = int(dead.sum())
        if number:
            # from the CPU's generator, whose state a checkpoint holds
            pick = torch.randint(len(vectors), (number,))
            fresh = vectors[pick.to(vectors.device)]
            if torch.distributed.is_available() and torch.distributed.is_initialized():
                torch.distributed.broadcast(fresh, 0)
            self.entries[dead] = fresh
            self.counts[dead] = self.dead * 2
            self.sums[dead] = fresh * (self.dead * 2)


class ResidualVQ(nn.Module):
    """``layers`` codebooks, each coding what the ones before it left.

    Parameters
    ----------
    dim, size, layers : codebook geometry.
    decay : of the running averages.
    dead : running use per step below which an entry is replaced.
    dropout : probability (per training step) of stopping after a random layer.
    """

    def __init__(
        self, dim: int, size: int, layers: int, decay: float, dead: float, dropout: float = 0.0
    ) -> None:
        super().__init__()
        # `books` is the name in checkpoint files
        self.books = nn.ModuleList(Codebook(size, dim, decay, dead) for _ in range(layers))
        self.dropout = dropout

    def codebooks(self) -> list[Codebook]:
        """The layers' codebooks, coarsest first."""
        return [book for book in self.books if isinstance(book, Codebook)]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantised vectors (gradient passed straight through), codes, commitment loss.

        The loss is the mean over layers of the squared distance between a layer's input and the
        entry chosen for it.
        """
        with torch.autocast(x.device.type, enabled=False):
            return self._forward(x.float())

    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        flat = x.reshape(-1, x.shape[-1])  # [B F, D]
        last = len(self.books)
        # quantiser dropout (SoundStream): the first layers alone must be a good code too
        if self.training and self.dropout and torch.rand(()) < self.dropout:
            last = int(torch.randint(1, len(self.books) + 1, ()))
        residual, total = flat, torch.zeros_like(flat)
        codes, losses = [], []
        for book in self.codebooks()[:last]:
            vectors = residual.detach()
            if self.training and not book.ready:
                book.start(vectors)
            index = nearest(vectors, book.entries)  # [B F]
            chosen = book.entries[index]
            # commitment: the encoder's output moves to the entries, which are no parameters
            losses.append(fn.mse_loss(residual, chosen))
            if self.training:
                book.update(vectors, index)
            residual = residual - chosen
            total = total + chosen
            codes.append(index)
        # straight-through: the value is `total`, the gradient that of the identity
        quantised = (flat + (total - flat).detach()).reshape(x.shape)
        stacked = torch.stack(codes, 0).reshape(len(codes), x.shape[0], -1)  # [K, B, F]
        stacked = stacked.transpose(0, 1)
        return quantised, stacked, torch.stack(losses).mean()

    @torch.no_grad()
    def search(self, x: Tensor, width: int) -> tuple[Tensor, Tensor]:
        """Quantised vectors and codes by beam search; nothing is updated.

        Beam search: in each layer, the ``width`` nearest partial sums are kept, and finally the
        nearest sum is taken. ``width`` 1 is the greedy search of ``forward``.
        """
        flat = x.reshape(-1, x.shape[-1]).float()
        left = flat[:, None]  # what each partial sum leaves: [N, W, D]
        codes = torch.zeros(len(flat), 1, 0, dtype=torch.int64, device=x.device)
        for book in self.codebooks():
            entries = book.entries
            distance = left.pow(2).sum(-1, keepdim=True) - 2 * left @ entries.T
            distance = (distance + entries.pow(2).sum(1)).flatten(1)  # [N, W x size]
            best = distance.topk(min(width, distance.shape[1]), largest=False).indices
            parent, entry = (best // book.size)[..., None], best % book.size
            left = left.gather(1, parent.expand(-1, -1, x.shape[-1])) - entries[entry]
            before = codes.gather(1, parent.expand(-1, -1, codes.shape[-1]))
            codes = torch.cat([before, entry[..., None]], -1)  # [N, W, layers so far]
        quantised = (flat - left[:, 0]).reshape(x.shape)
        return quantised, codes[:, 0].reshape(*x.shape[:-1], -1).transpose(1, 2)

    @torch.no_grad()
    def start(self, vectors: Tensor, per_step: int) -> None:
        """Start every layer by k-means on what the layers before it leave of ``[N, D]``."""
        residual = vectors
        for book in self.codebooks():
            book.start(residual, per_step)
            residual = residual - book.entries[nearest(residual, book.entries)]

    def decode(self, codes: Tensor) -> Tensor:
        """Sum of the entries: ``[B, K, F]`` → ``[B, F, D]`` (``K`` may be fewer than all)."""
        books = self.codebooks()[: codes.shape[1]]
        vectors = [fn.embedding(codes[:, i], book.entries) for i, book in enumerate(books)]
        return torch.stack(vectors).sum(0)


def perplexity(codes: Tensor, size: int) -> Tensor:
    """Effective number of entries used, 1 to ``size``: ``[B, K, F]`` → ``[K]``."""
    return perplexity_of_counts(use_counts(codes, size))


def use_counts(codes: Tensor, size: int) -> Tensor:
    """How often each entry is used: ``[B, K, F]`` → float64 ``[K, size]``."""
    layers = codes.transpose(0, 1).flatten(1)  # [K, B F]
    return torch.stack([torch.bincount(layer, minlength=size).double() for layer in layers])


def perplexity_of_counts(counts: Tensor) -> Tensor:
    """``exp(H)`` with the entropy ``H = -sum_v p_v log p_v`` of the entries' shares.

    ``[K, V]`` → ``[K]``.
    """
    out = []
    for layer in counts:
        share = layer / layer.sum()
        out.append(torch.exp(-(share * share.clamp_min(1e-12).log()).sum()))
    return torch.stack(out)
