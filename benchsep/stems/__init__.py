"""Stems: what the names of outputs mean (:mod:`names`) and which files hold them (:mod:`files`)."""
