"""The ONNX graphs of DNSMOS: their paths, and one session per graph.

They are part of the ``speechmos`` wheel and byte-identical to those of microsoft/DNS-Challenge.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchsep._util.absent import package_absent
from benchsep.errors import Unavailable
from benchsep.metrics.dnsmos import p808, p835

if TYPE_CHECKING:
    from benchsep.metrics.dnsmos.lower import Filters

GRAPHS = {
    "sig_bak_ovr": "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd",
    "model_v8": "9246480c58567bc6affd4200938e77eef49468c8bc7ed3776d109c07456f6e91",
}
"""sha256 of the two graphs."""


def graph_path(name: str) -> Path:
    """The graph's path in the installed ``speechmos`` package, which is not imported.

    Raises
    ------
    Unavailable
        if the package is not installed, or the file has another sha256.
    """
    spec = importlib.util.find_spec("speechmos")
    if spec is None or spec.origin is None:
        raise Unavailable(
            package_absent("the DNSMOS networks are speechmos': pip install speechmos==0.0.1.1")
        )
    path = Path(spec.origin).parent / "dnsmos_models" / f"{name}.onnx"
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no file"
    if digest != GRAPHS[name]:
        raise Unavailable(
            f"{path}: found {digest[:12]}, expected sha256 {GRAPHS[name][:12]}…: "
            "pip install --force-reinstall --no-deps speechmos==0.0.1.1"
        )
    return path


PARTS = {
    "sig_bak_ovr": ("sig_bak_ovr spectrum", "sig_bak_ovr middle", "sig_bak_ovr upper"),
    "model_v8": ("model_v8 lower", "model_v8 upper"),
}

_lock = threading.Lock()
_sessions: dict[str, Any] = {}


def session(name: str) -> Any:
    """One single-threaded session per graph and process; parallelism is over tracks.

    The name of a part of a graph is in :data:`PARTS`.
    """
    with _lock:
        if name not in _sessions:
            graph = name.partition(" ")[0]
            if name in PARTS.get(graph, ()):
                split = {"sig_bak_ovr": p835, "model_v8": p808}[graph].split_graph
                parts = split(graph_path(graph).read_bytes())
                _sessions.update(zip(PARTS[graph], map(_open, parts), strict=True))
            else:
                _sessions[name] = _open(graph_path(name).read_bytes())
        return _sessions[name]


@functools.cache
def filters() -> Filters:
    """Filters of the four convolutions of ``sig_bak_ovr`` that onnxruntime does not run."""
    return p835.lower_filters(graph_path("sig_bak_ovr").read_bytes())


def _open(model: bytes) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise Unavailable(
            package_absent("DNSMOS runs on onnxruntime: pip install onnxruntime")
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
