"""Figures of a run, one module per figure.

Modules
-------
style         colours, fonts, the figure itself, the legend, saving
spectrogram   the levels of spectrograms, one scale for all signals of a stem
panels        spectrograms of mixture, reference and systems for one stem of one song
songs         the songs of each system, one metric and stem
forest        paired differences with their intervals
cost          quality against real-time factor and memory
disagreement  two metrics against each other, song by song
choose        which of these figures a run gets, and with which data

Conventions
-----------
input     plain mappings and arrays; no figure function reads a run (``choose`` does)
labels    names of systems, songs and titles are external text: control characters are made
          visible, and ``$`` does not start a formula
legend    every figure explains its marks in its own legend, because figures are copied into papers
"""
