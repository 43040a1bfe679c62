"""Ablations: a grid of variants, trained where they have to be, run on the same tracks, compared.

``grid`` reads what is varied; ``training`` makes each variant once; ``execute`` runs them as
ordinary systems; ``effects`` compares them song by song; ``write`` makes the report.
"""
