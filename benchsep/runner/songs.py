"""The entries of the manifest that identify the audio of the songs; updated during the run.

Conventions
-----------
entries   ``mixtures``: track to the hash of its mixture, as passed to the systems; ``references``:
          track to the identity of its true stems (:func:`.done.references_id`). Cells of other
          audio are not shown (:func:`.done.is_draw_shown`)
at work   a run may be interrupted and followed by ``show`` or by a run of other systems. So a
          song's entries are written after its first record, at most every :data:`EVERY_S` seconds,
          and whenever the run ends. Until then the entries of the previous run are valid: if a
          process is killed before this update, the new record is hidden until the run is continued
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from benchsep._util.digest import canonical
from benchsep.errors import StoreError
from benchsep.runner.done import references_id

if TYPE_CHECKING:
    from benchsep.runner.job import Outcome
    from benchsep.runner.plan import Plan
    from benchsep.runner.reading import Sheets
    from benchsep.runner.store import Store

EVERY_S = 2.0

Entries = dict[str, dict[str, str]]


def audio_of_songs(plan: Plan, store: Store, sheets: Sheets) -> Entries:
    """Both entries, after all jobs are done."""
    found = _none()
    for track in plan.tracks:
        _find(found, store, sheets, track.name, plan.systems)
    return found


class SongsAtWork:
    """The entries of an active run; ``manifest``: the one written at its start."""

    def __init__(
        self, plan: Plan, store: Store, sheets: Sheets, manifest: Mapping[str, Any]
    ) -> None:
        self._store, self._sheets, self._request = store, sheets, _request(manifest)
        self._known = _none()
        jobs = {(job.label, job.track.name) for job in plan.jobs}
        for track in plan.tracks:
            done = [label for label in plan.systems if (label, track.name) not in jobs]
            _find(self._known, store, sheets, track.name, done)
        self.at_start = _joined(_of_run_before(store, plan), self._known)
        self._is_written, self._written_at = True, time.monotonic()

    def note(self, outcome: Outcome) -> None:
        """Record the song's audio after a job; write it unless the last write was just before."""
        if outcome.track not in self._known["mixtures"]:
            _find(self._known, self._store, self._sheets, outcome.track, (outcome.label,))
            self._is_written = False
        if time.monotonic() - self._written_at >= EVERY_S:
            self.write()

    def write(self) -> None:
        """Write new entries if the manifest still has this request; another run may be active in
        the folder.

        Raises
        ------
        StoreError
            the manifest cannot be read or written.
        """
        if self._is_written:
            return
        self._written_at = time.monotonic()
        if not (self._store.root / "manifest.json").is_file():
            return  # the folder is gone; the end of the run reports this
        now = self._store.manifest()
        if _request(now) == self._request:
            self._store.write_manifest({**now, **_joined(now, self._known)})
        self._is_written = True


def _request(manifest: Mapping[str, Any]) -> str:
    return canonical([manifest.get("suite"), manifest.get("dataset")])


def _of_run_before(store: Store, plan: Plan) -> Entries:
    """The entries of the manifest in the folder for the songs of a plan."""
    try:
        manifest = store.manifest()
    except StoreError:
        return _none()
    tracks = {track.name for track in plan.tracks}
    return {
        name: {track: text for track, text in manifest.get(name, {}).items() if track in tracks}
        for name in _none()
    }


def _joined(before: Mapping[str, Any], known: Entries) -> Entries:
    return {name: {**before.get(name, {}), **texts} for name, texts in known.items()}


def _none() -> Entries:
    return {"mixtures": {}, "references": {}}


def _find(found: Entries, store: Store, sheets: Sheets, track: str, labels: Iterable[str]) -> None:
    """Add the audio of a song, from its first record with hashes."""
    records = (store.sheet(label, track, sheets) for label in labels)
    record = next((r for r in records if r is not None and r.track.mixture_sha256), None)
    if record is not None:
        found["mixtures"][track] = record.track.mixture_sha256
        found["references"][track] = references_id(record.track)
