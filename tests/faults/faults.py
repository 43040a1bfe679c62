"""The faults that the campaign found, how each was fixed, and its regression test."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """A fault, its fix, and ``file::test`` below ``tests/``."""

    description: str
    fix: str
    test: str


STORE, KILLED, FULL = "runner/test_store.py", "faults/test_killed.py", "faults/test_full.py"
ATTACKS, READERS = "faults/test_attacks.py", "runner/test_readers.py"
UNTRIED = "faults/test_untried.py"
BAD_INPUT = "systems/tokensep/test_bad_input.py"
ARCHIVE = "systems/tokensep/train/stream/test_archive.py"
ADVERSARY = "faults/test_adversary.py"
HOSTILE = "faults/test_hostile_files.py"
KEPT = ("fuzz/test_fuzz_targets.py"
        "::test_kept_and_damaged_inputs_end_in_a_result_or_a_named_error")  # fmt: skip
SECURITY, FUZZ = "faults/test_security.py", "faults/test_regressions.py"

FAULTS = (
    Fault("A claim whose owner's process number was reused (a container that restarts) held "
          "the next run up forever",
          "claims and partial files carry the start time of their process",
          f"{STORE}::test_a_claim_whose_owners_number_was_given_again_is_abandoned"),
    Fault("A torn claim named another process, which was waited for without end",
          "a claim that is not a whole line counts as unwritten",
          f"{STORE}::test_a_torn_claim_holds_nobody_up_for_long"),
    Fault("Of two who cleared an abandoned claim, one could remove the other's new claim",
          "cleared by a rename that only one can win, and given back if it was new",
          f"{STORE}::test_clearing_an_abandoned_claim_gives_back_one_that_is_new"),
    Fault("A killed `benchsep report` left its temporary file in the report's folder",
          "the report sweeps the folders it wrote to; figures and pictures are renamed into place",
          f"{KILLED}::test_kept_estimates_and_reports_survive_a_kill"),
    Fault("A killed training had the steps after its last checkpoint twice in its curve",
          "logs are cut back to the checkpoint that is resumed",
          f"{KILLED}::test_a_training_killed_at_random_moments_draws_the_same_curve"),
    Fault("A kill between creating and writing `index.json` stopped a training forever",
          "the index is written to a temporary file and renamed",
          f"{KILLED}::test_a_training_killed_at_any_file_operation_draws_the_same_curve"),
    Fault("Two `tokensep pseudo-label` of one rank wrote the same partial shard",
          "a lock for each rank; the second gets an error that names the first",
          f"{FUZZ}::test_a_second_labeller_of_the_same_rank_is_told_of_the_first"),
    Fault("A full disk swallowed the end of a FLAC file without an error from libsndfile",
          "the end of what was written is read back before the rename",
          f"{FULL}::test_audio_is_written_whole_or_not_at_all"),
    Fault("Workers died with a traceback when there was no room for a record",
          "a worker reports it, the run ends with the path and exit code 2",
          f"{FULL}::test_a_full_disk_under_a_pool_is_one_message"),
    Fault("A claim that could not be written on a full disk stayed, and the next run waited",
          "it is removed",
          f"{STORE}::test_a_claim_that_finds_no_room_leaves_nothing"),
    Fault("Shards, checkpoints, token banks and figures that found no room ended in a traceback",
          "named errors with the path; partial files go",
          f"{FULL}::test_pseudo_labels_and_training_say_which_file_found_no_room"),
    Fault("A flipped byte in `manifest.json` was accepted",
          "the manifest has a checksum; a damaged one is named and written anew",
          f"{FULL}::test_a_damaged_manifest_is_named_and_written_anew"),
    Fault("A record with a valid checksum and foreign content ended in a traceback; a copied "
          "record doubled its cells",
          "records are checked for shape and place",
          f"{FUZZ}::test_a_record_with_a_true_checksum_and_false_content_is_set_aside"),
    Fault("Damaged baselines ended in KeyError, TypeError and others",
          "the shape is checked when a baseline is read",
          f"{FUZZ}::test_a_damaged_baseline_is_a_drift_error"),
    Fault("A recording whose header claims years of music kept `pseudo-label` planning forever",
          "absurd headers and rates are unreadable files; a piece that cannot be read is dropped",
          f"{FUZZ}::test_an_absurd_header_is_an_unreadable_recording"),
    Fault("A hundred kilobytes of `[` kept PyYAML busy for minutes",
          "YAML nested deeper than 100 levels is refused before it is parsed",
          f"{FUZZ}::test_deep_yaml_is_refused_at_once"),
    Fault("Damaged pickles, training checkpoints, configurations and recordings raised whatever "
          "their parser liked",
          "one of our errors, with the path",
          f"{FUZZ}::test_damaged_weights_and_configurations_are_named"),
    Fault("Museval files with numbers beyond any float, halves of characters or great depth",
          "a StoreError that names the file",
          f"{FUZZ}::test_museval_files_beyond_any_number_are_named"),
    Fault("A folder whose name is not UTF-8 could not be stored",
          "its bytes are written out in the track's name",
          "faults/test_properties.py::test_a_folder_whose_name_is_not_utf8_is_a_track"),
    Fault("Names that only a full case folding or composition makes alike shared a file name",
          "such names get the hash that others had already",
          "faults/test_properties.py::"
          "test_no_two_names_share_a_file_on_a_disk_that_folds_case_and_composes_letters"),
    Fault("`dir:PATH` followed a track called `../elsewhere` out of its folder",
          "only names that are one folder's name are looked up",
          f"{SECURITY}::test_a_folder_of_estimates_cannot_be_left_by_a_tracks_name"),
    Fault("`cmd:` with an open quote ended in a traceback",
          "a usage error",
          f"{SECURITY}::test_a_template_that_is_no_command_is_a_usage_error"),
    Fault("`compare --format csv` and its siblings wrote formula cells and markup as they were",
          "every text cell is escaped for its format",
          f"{SECURITY}::test_cells_of_spreadsheets_and_terminals_do_not_act"),
    Fault("A download whose name promises no hash would have been kept unchecked",
          "refused, as is anything but https",
          f"{SECURITY}::test_a_download_without_a_hash_in_its_name_is_refused"),
    Fault("Metrics raised StopIteration when there was neither reference nor estimate",
          "a status",
          "faults/test_misbehaving.py::test_metrics_answer_when_there_is_nothing_at_all"),
    Fault("`tokensep separate` asked for 512 GiB on the word of a small file's header",
          "refused: more frames than the file's bytes can hold",
          "systems/tokensep/test_cli.py"
          "::test_a_header_that_claims_more_than_the_file_can_hold_is_an_error"),
    Fault("A training killed before its first checkpoint had its first steps twice in its curve",
          "logs are cut where a training begins, too",
          "systems/tokensep/train/test_lm.py"
          "::test_a_run_killed_before_its_first_checkpoint_starts_its_curve_anew"),
    Fault("A codec training killed between a checkpoint and its validation never made up for it, "
          "and might have shipped another step's weights",
          "a step is validated before it is saved, and once",
          "systems/tokensep/train/test_codec.py"
          "::test_a_codec_training_killed_anywhere_has_the_same_curves_and_best"),
    Fault("A killed training of hubert-mini started again from the beginning",
          "checkpoints, resumed exactly",
          "systems/tokensep/train/test_codec.py"
          "::test_a_killed_hubert_training_continues_to_the_same_weights_and_curve"),
    Fault("The baselines' trainer met a damaged state and a full disk with a traceback",
          "one of our errors, with the path",
          "systems/baselines/test_train.py::test_a_damaged_or_foreign_state_is_named"),
    Fault("A run did a job again that another run on the same folder had done since it was planned",
          "after claiming a job, a worker checks again whether it is done",
          "runner/test_run.py::test_what_another_run_did_since_the_plan_is_not_done_again"),
    Fault("tokensep held the spectra of a whole song: 37 times its samples, 45 GB for an hour",
          "stems are placed in the channels by blocks of 12 s",
          "faults/test_memory.py"
          "::test_models_separate_in_windows_and_grow_with_the_signal_and_no_faster"),
    Fault("Songs of a second folder of shards replaced those of the first: 24 clips, 3 songs kept",
          "a song is named by its folder's job and its key",
          "systems/tokensep/train/test_pseudo_labels.py"
          "::test_two_folders_of_n_recordings_give_2n_songs"),
    Fault("The recorded mixture of a shard was written and never read",
          "`mixture: sum` or `recorded`; which one stands in the bank's source or the tokens' job",
          "systems/tokensep/train/test_pseudo_labels.py"
          "::test_the_recorded_mixture_is_trained_on_if_asked_for"),
    Fault("To encode songs for the LM took the memory of all of them, twice",
          "waves and codes are written clip by clip",
          "systems/tokensep/train/test_flat_file.py"
          "::test_encoding_songs_takes_the_memory_of_one_song"),
    Fault("Workers that read data ahead drew from the generator of the training: other dropout for "
          "another number of workers",
          "the loader has a generator of its own",
          "systems/tokensep/train/stream/test_training.py"
          "::test_a_killed_codec_training_continues_on_the_same_curve"),
    Fault("`show` on a folder of another format version renamed all its records",
          "readers change nothing; a run refuses such a folder and names the version that wrote it",
          f"{READERS}::test_no_reader_changes_a_run_folder"),
    Fault("`sys.exit(0)` of a system ended the run with exit 0 and no cells; a crash, another "
          "working folder, a child that held the pipe, a print on stdout did as much harm",
          "systems run in worker processes, whose state is put back after each call",
          f"{ATTACKS}::test_no_attack_moves_the_cells_of_the_others"),
    Fault("A system that ended its process while it was loaded ended the run",
          "systems are asked in a worker; the error names the system",
          f"{ATTACKS}::test_a_system_that_ends_its_process_while_loading_is_named"),
    Fault("A program of `cmd:` and its daemons outlived a killed run, and its folder stayed",
          "a session and a mark of its own, the kernel's parent-death signal, and a watcher",
          "cli/test_interrupt.py::test_whatever_ends_a_run_ends_its_program_and_daemons"),
    Fault("An error message of 5 MB made a store of 702 MB",
          "reasons are bounded and stand once in a record",
          "runner/test_record.py::test_a_long_reason_stands_once_in_a_record"),
    Fault("With clocks 20 minutes apart a claim of a live process was taken over",
          "a claim is watched by one's own clock; owners refresh theirs under `-j`, too",
          f"{STORE}::test_clocks_twenty_minutes_apart_make_no_claim_abandoned"),
    Fault("A claim was released by whoever knew its name",
          "it names its owner by machine, process and a random token",
          f"{STORE}::test_a_claim_is_released_by_its_owner_alone"),
    Fault("A hundred systems in one list took a minute: the metadata of all installed packages "
          "were read again for each",
          "they are read once for each module path",
          "fuzz/test_fuzz_targets.py::test_a_list_of_many_systems_is_read_at_once"),
    Fault("YAML tags with content that is not theirs (`!!timestamp x`, `!!bool x`, `!!int ''`) "
          "ended in AttributeError, KeyError, IndexError",
          "whatever PyYAML raises is an error of the file",
          KEPT),
    Fault("An ablation whose `suite` is a number, a study that is a text, a manifest with a "
          "damaged system ended in TypeError",
          "what is no mapping is named; a manifest's systems are checked when it is read",
          KEPT),
    Fault("A CSV with two columns for one role (`DMOS` and `rating`) ended in TypeError",
          "the first counts, as documented; the other is left out",
          KEPT),
    Fault("A hundred thousand tensors of no size, or a header of 100 MB, kept readers of "
          "safetensors busy",
          "headers beyond 4 MB are refused before they are parsed",
          f"{HOSTILE}::test_a_large_header_is_refused_before_it_is_read"),
    Fault("`lm.json`, a codec's and a guide's configuration were built before their weights were "
          "looked at, at any size; zero heads ended in ZeroDivisionError",
          "a model is no larger than its weights: each allocation is counted before it is made",
          f"{HOSTILE}::test_a_language_model_is_no_larger_than_its_weights"),
    Fault("Deep JSON in MoisesDB's `data.json`, codecs, jobs, caches and logs ended in "
          "RecursionError",
          "one strict reader with a bound, or an error that names the file",
          f"{HOSTILE}::test_depth_is_refused_by_every_reader_of_json"),
    Fault("A sparse member of a shard was read at the size that it claims; a chain of long names "
          "ended in RecursionError",
          "sparse members are refused; whatever tarfile raises names the shard",
          f"{HOSTILE}::test_hostile_members_of_a_shard_are_not_followed_and_not_believed"),
    Fault("Other samples in a file of the same size, with its time set back: 0 jobs, old values",
          "the time of change of the inode is part of a stamp; no program can set it",
          f"{UNTRIED}::test_other_content_of_the_same_size_and_time_is_seen"),
    Fault("Values of two versions of a metric stood in one column without a word",
          "a warning under the table and from `compare`, with the systems of each version",
          f"{UNTRIED}::test_values_of_two_versions_of_a_metric_are_never_shown_silently"),
    Fault("Ratings in UTF-16 (\"Unicode text\" of Excel) were refused for a strange byte",
          "the error says what they are and what to save them as",
          f"{UNTRIED}::test_ratings_in_utf16_are_named_and_a_mark_of_utf8_is_no_part_of_a_column"),
    Fault("Whatever lay at the path of NISQA's weights was read into memory to be hashed",
          "it is hashed in pieces, and read only if the hash holds",
          f"{UNTRIED}::test_hostile_weights_of_nisqa_are_neither_unpacked_nor_read_whole"),
    Fault("A system whose `stamp(track)` is None, 0 or an empty list was taken at its word",
          "anything but a text is an error that names the type",
          "runner/executors/test_local.py"
          "::test_what_a_system_says_of_its_files_cannot_harm_the_run"),
    Fault("Samples that became NaN after their Audio was made, or an Audio that lies about its "
          "length, reached the metrics; complex samples lost their imaginary part",
          "estimates are checked anew when they are returned; only real numbers are samples",
          f"{ADVERSARY}::test_what_a_system_returns_has_its_value_or_its_reason"),
    Fault("A system that called itself an oracle only once it was asked to separate got the true "
          "stems",
          "what it said when the run was planned decides what it gets",
          f"{ADVERSARY}"
          "::test_a_system_that_changes_what_it_says_of_itself_is_given_what_was_planned"),
    Fault("On a cluster, a system that uses its buffers again overwrote the draw before",
          "draws that wait for each other hold samples of their own",
          f"{ADVERSARY}::test_buffers_that_are_used_again_do_not_change_the_draw_before"),
    Fault("A system that replaces `time.perf_counter` took no time at all",
          "the clock is bound before; a worker with a replaced clock ends with its job",
          f"{ADVERSARY}::test_a_system_that_stops_the_clock_is_as_slow_as_it_is"),
    Fault("A metric of a plugin that normalises its input in place moved the values of all "
          "metrics after it, and of all systems after that",
          "metrics that are not benchsep's own get copies",
          f"{ADVERSARY}::test_a_metric_that_writes_into_its_input_moves_no_other_value"),
    Fault("A metric that answers with a text, a huge integer or no score ended the run in this "
          "process, and a value of None was stored as ok",
          "a reason in place of the value",
          f"{ADVERSARY}::test_what_a_metric_answers_is_a_cell_with_a_value_or_a_reason"),
    Fault("A system that dropped its rights (`setuid`) ended the run: its worker could not write; "
          "one that changed its root had its records written elsewhere",
          "the parent looks at the record, and writes the failure itself",
          f"{ATTACKS}::test_no_attack_moves_the_cells_of_the_others"),
    Fault("A run folder that was moved, deleted or cleaned while a run was at work ended with "
          "exit 0 and lacked cells",
          "the records are counted at the end",
          f"{ADVERSARY}::test_a_folder_that_goes_while_a_run_is_at_work_is_no_success"),
    Fault("Two runs with different settings in one folder replaced each other's results without "
          "a word",
          "a message that names the fields",
          f"{ADVERSARY}::test_two_runs_with_different_settings_in_one_folder_are_told_apart"),
    Fault("A pipe among the records was waited for without end",
          "pipes and devices are no records",
          f"{ADVERSARY}::test_what_is_no_file_among_the_records_is_not_waited_for"),
    Fault("`check --format tex|html` printed `\\x0a`; a reason with the end of a line in it broke "
          "the list",
          "such characters become spaces",
          "gate/test_render.py::test_no_reader_sees_an_escaped_end_of_a_line"),
    Fault("`tokensep tokenize` with its default configuration ended in TypeError: options that "
          "hold a dict cannot be hashed",
          "only the codec is kept between shards",
          "systems/tokensep/train/tokenizing/test_tokenize.py"
          "::test_options_of_inference_are_no_matter_of_tokens"),
    Fault("38 of 48 values of `-O` that no training has (`batch=0`, `lr=nan`, `max_steps=0`, "
          "`ema=2`) ended in a traceback, or trained nothing or NaN with exit 0",
          "every number of a training has a bound; the error names what was found",
          f"{BAD_INPUT}::test_no_number_of_a_training_takes_what_is_out_of_range"),
    Fault("Sizes that describe no network (zero heads, a kernel of 0, a dim of 10^9) ended in "
          "torch's errors, some of them after the data was decoded",
          "counts have bounds, checked when the file is read",
          f"{BAD_INPUT}::test_sizes_that_describe_no_network_are_refused"),
    Fault("Stems of different lengths ended a training of the LM in ValueError, were cut by "
          "`tokenize` and read at different places by `train guided`",
          "an error that gives the lengths",
          f"{BAD_INPUT}::test_stems_of_different_lengths_are_refused_where_they_are_used_together"),
    Fault("A wav that was cut short and one of NaN were trained on: FFmpeg reads both",
          "headers and samples are checked",
          f"{BAD_INPUT}::test_a_wav_that_was_cut_and_samples_that_are_no_numbers_are_refused"),
    Fault("`--extra FOLDER` without a recording in it was ignored",
          "an error that says what is expected there",
          f"{BAD_INPUT}::test_a_folder_without_songs_is_named_with_what_it_holds_and_what_was_"
          "expected"),
    Fault("Shards whose members differ in length, rate or channels, or whose facts are a list, "
          "ended in errors of numpy, MKL or AttributeError",
          "members are compared with the mixture",
          f"{ARCHIVE}::test_members_that_do_not_belong_together_are_named"),
    Fault("A count of clips beside a shard was believed: too many, below zero or infinite",
          "it is checked, and so is each clip's number",
          f"{ARCHIVE}::test_a_count_of_clips_beside_a_shard_is_not_believed_blindly"),
    Fault("`pseudo-label` and `tokenize` that kept nothing ended with exit 0",
          "exit 1 with the first reason",
          "systems/tokensep/train/test_pseudo_labels.py"
          "::test_stems_that_miss_the_mixture_are_dropped_with_the_reason"),
    Fault("Prepared data of a training that was cut short, or is something else, ended in errors "
          "of numpy",
          "one reader for flat arrays; index and arrays are compared",
          f"{BAD_INPUT}::test_prepared_data_that_is_damaged_is_named"),
    Fault("`tokensep train codec -o FILE` failed after the training",
          "outputs are looked at before the work begins",
          f"{BAD_INPUT}::test_an_output_that_is_no_folder_is_found_before_the_work_begins"),
    Fault("`board` and `report` of a folder without results wrote an empty page, exit 0; a damaged "
          "record was named twice",
          "an error; records are read once",
          "cli/test_board.py::test_a_folder_without_a_result_makes_no_page"),
    Fault("A training of two processes ended with `terminate called without an active exception` "
          "after its last step, now and then",
          "gloo's threads end with the group: nothing keeps it",
          "systems/training/test_two_processes.py::test_no_thread_outlives_the_group"),
    Fault("A finished run that was started again waited for ever where NISQA's weights are absent "
          "and their download fails: a worker knew of the failure, its parent did not",
          "a worker tells what is done from what another process does",
          "runner/executors/test_local.py"
          "::test_what_only_a_worker_knows_to_be_unavailable_is_not_waited_for"),
)  # fmt: skip
