"""Values that were wrong with status ok and exit code 0: case, cause, cure and test of each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WrongValue:
    """What was seen, why, what was changed, and ``file::test`` below ``tests/``."""

    case: str
    cause: str
    cure: str
    test: str


DONE, LAG, SCORE = "runner/test_done.py", "runner/notes/test_lag.py", "runner/test_score.py"
ADAPTERS, DATASETS = "systems/test_adapters.py", "datasets/test_datasets.py"
MSST, DECODE, JOIN = (
    "systems/baselines/test_msst.py",
    "_util/test_decode.py",
    "imported/test_join.py",
)

WRONG_VALUES = (
    WrongValue("Other mixture, seed, number of draws, kept estimates or device: 0 jobs, old values",
               "only file times, the system and metric versions were compared",
               "`runner/done.py` lists everything that moves a cell; the plan and the keys use it",
               f"{DONE}::test_a_changed_field_computes_cells_and_shows_the_new_ones"),
    WrongValue("A table held cells of another split, seed or data set, and a renamed song twice",
               "every cell of the folder was shown", "only results of the last request are shown",
               f"{DONE}::test_cells_of_another_request_are_kept_and_not_shown"),
    WrongValue("Values of new weights were stored under the old checkpoint's name",
               "the plan remembered the system of an earlier run; the job loaded another one",
               "the job compares what it loaded with the plan and fails; stamps cover the caches",
               f"{DONE}::test_results_of_other_weights_are_not_stored_under_the_planned_name"),
    WrongValue("An edited `cmd:` program kept its old values", "the program was not looked at",
               "its files and the scripts next to them are part of the system's version",
               f"{DONE}::test_a_program_that_was_edited_runs_again"),
    WrongValue("A system that normalised its input in place moved all later systems' cells",
               "all systems shared one array", "each call gets a copy",
               f"{ADAPTERS}::test_a_system_that_writes_into_its_input_changes_nothing_for_others"),
    WrongValue("Three-channel estimates scored better than the stereo they came from",
               "they were averaged to mono", "other channel counts than the mixture's or 1 fail",
               f"{ADAPTERS}::test_other_channels_are_an_error_and_mono_is_repeated"),
    WrongValue("Estimates in 16-bit scale got values", "nothing looked at the scale",
               "a peak above 100 is an error that says so",
               f"{ADAPTERS}::test_samples_in_16_bit_scale_are_an_error"),
    WrongValue("Perfect six stems: `other` 2.5 dB", "guitar and piano were ignored",
               "one map of names to stems sums them into `other`",
               f"{ADAPTERS}::test_guitar_and_piano_are_summed_into_other"),
    WrongValue("Perfect vocals and accompaniment: `other` -6.3 dB",
               "`other` of a pair was taken for MUSDB's", "it is the instrumental, a stem apart",
               f"{ADAPTERS}::test_a_folder_of_two_stems_offers_vocals_and_instrumental"),
    WrongValue("The same through checkpoints with six stems or a single target",
               "each ecosystem mapped its names itself", "the same map, with all instruments",
               f"{MSST}::test_other_of_a_pair_is_never_musdbs_other"),
    WrongValue("One NaN sample in one stem lost four stems", "an error ended the track",
               "an error stands in place of that stem alone",
               f"{ADAPTERS}::test_one_bad_stem_costs_that_stem_alone"),
    WrongValue("ViSQOL 4.73 for the whole mixture against a dithered silence",
               "only exact zeros were silent", "a reference at or below -80 dBFS is `ref_silent`",
               "metrics/test_silence.py::test_a_dithered_reference_has_no_score"),
    WrongValue("An mp3 without a Xing header was refused or lost a quarter",
               "its length was guessed from the bit rate", "it is decoded to its end",
               f"{DECODE}::test_an_mp3_is_read_to_its_end_with_and_without_a_header_of_its_length"),
    WrongValue("Half a wav was read as a whole one",
               "libsndfile shortens the length in the header silently",
               "the header's own size is compared with the file",
               f"{DECODE}::test_a_wav_that_was_cut_is_refused"),
    WrongValue("Folders of a NAS, of macOS or Windows became songs", "every folder was a track",
               "one list of such names for every reader",
               f"{DATASETS}::test_what_a_file_system_left_behind_is_no_track"),
    WrongValue("`score` refused one sample more, and exited 0 with nothing scored",
               "it had no rule for lengths", "the rule of `run`; exit 1 if nothing was scored",
               f"{SCORE}::test_the_command_fails_when_nothing_could_be_scored"),
    WrongValue("10 dB became -3 dB for a folder decoded from mp3, without a word",
               "a constant delay was not looked for",
               "the lag is measured, stored and reported; `--align` removes it",
               f"{LAG}::test_a_run_reports_late_systems_and_can_align_them"),
    WrongValue("No pair of systems could ever differ significantly in the shipped suites",
               "9,999 drawn sign flips, and Holm over every row of a call",
               "exact p values without a seed; Holm over one column of one table",
               "stats/test_signflip.py::test_one_system_better_on_25_of_25_songs_has_the_smallest_p"),
    WrongValue("A six-second clip was compared with full songs from museval files",
               "songs were paired by name alone", "editions or window counts must agree",
               f"{JOIN}::test_the_edition_is_the_one_that_the_files_say"),
    WrongValue("Every value of a table carried the mark of an ill-conditioned one",
               "systems that share no song fell back on ill-conditioned values",
               "such cells say that no song is shared",
               "stats/test_stats.py::test_systems_that_share_no_song_have_no_values_and_no_mark"),
    WrongValue("After a change: a run of fewer metrics, then of all, showed old values",
               "the record got a new stamp, and the cells that were not asked for came along",
               "they come along only if the estimates, or the stamp and the seed, are the same",
               f"{DONE}::test_what_a_smaller_request_left_out_is_not_taken_for_new"),
    WrongValue("Songs in 16-bit scale: 0.0003 dB of uSDR, a nearly perfect logWMSE",
               "the scale of estimates alone was looked at",
               "references and mixtures beyond 100 are errors, in `run` and in `score`",
               "faults/test_adversary.py::test_a_song_in_16_bit_scale_has_no_values"),
    WrongValue("`score` of int16 or complex arrays had values",
               "they were made float32 before they were looked at",
               "`Audio` refuses integers beyond 1, complex numbers, text and masked values",
               "test_audio.py::test_arrays_that_float32_would_change_without_a_word_are_refused"),
    WrongValue("Estimates under each other's names, inverted or with exchanged channels had values "
               "without a word", "estimates were compared with their own reference alone",
               "they are looked for in every separation and named; values stay those of the files",
               "runner/notes/test_mistakes.py::test_a_run_and_its_tables_say_so"),
    WrongValue("BSSEval differed by 3e-15 dB in the process that compiled its kernels",
               "numba keeps a kernel that kernels call twice, each rounded in its own way",
               "such kernels become part of their callers",
               "metrics/test_jit.py::test_kernels_that_kernels_call_become_part_of_them"),
    WrongValue("`PR - Oh No_vocals.wav` was the accompaniment of \"PR - Oh\": no values, or, of "
               "two stems, those of the other one",
               "of several ways to read a name the one with the longest stem was taken",
               "a name is read beside the others of its folder, and for the song that is asked for",
               "systems/test_adapters.py"
               "::test_a_song_whose_name_ends_like_the_beginning_of_a_stem"),
    WrongValue("Perfect stems with guitar, acoustic and electric guitar: `other` 12 dB",
               "all names of a part of `other` were added",
               "the guitars beside `guitar` are parts of it",
               f"{DATASETS}::test_both_guitars_beside_their_sum_count_once"),
    WrongValue("A corrected true stem, and a run of one system: the others had values against the "
               "old stem in the same column",
               "a stored cell was of the same song if its mixture was",
               "the manifest knows the true stems, too",
               f"{DONE}::test_other_true_stems_of_the_same_mixture_are_another_song"),
    WrongValue("Aligned estimates of an earlier request beside others as they are",
               "a record did not say whether its estimates were aligned", "it does",
               f"{DONE}::test_aligned_estimates_do_not_stand_beside_estimates_that_are_not"),
    WrongValue("A stem on the left with dither on the right: MR-STFT 290 for 0.58, LSD 22 dB",
               "only a channel of zeros was left out of the mean over channels",
               "a channel at or below -80 dBFS is",
               "metrics/test_silence.py"
               "::test_a_channel_of_dither_is_left_out_as_one_of_zeros_is"),
    WrongValue("A run that was stopped: values against old true stems beside new ones",
               "the manifest had the audio of the songs at the end of a run alone",
               "it is noted while the run is at work; tables say that the run is not finished",
               f"{DONE}::test_a_run_that_was_stopped_knows_the_audio_of_its_songs"),
    WrongValue("Songs `Song` and `song`: one was scored with the estimates of the other",
               "`dir:` pairs by names that look the same, and one folder was missing",
               "two tracks that get the same files are an error",
               "runner/test_run.py"
               "::test_songs_that_a_folder_of_estimates_cannot_tell_apart_are_refused"),
    WrongValue("An estimate of dither: bleedless 100, onset F1 0.4, Zimtohrli 1.6",
               "of estimates, only exact zeros were silent",
               "one rule for references, estimates and mixtures: at or below -80 dBFS",
               "metrics/test_silence.py::test_an_estimate_of_dither_scores_as_zeros_do"),
)  # fmt: skip
