"""Ablations: a grid of variants that are trained if necessary, run on the same tracks, and
compared.

``grid`` reads the variants; ``training`` trains each variant once; ``execute`` runs them as
ordinary systems; ``effects`` compares them song by song; ``write`` makes the report.
"""
