"""Results as a reader meets them: tables, figures, the listening page.

Nothing here computes a statistic of its own; see :mod:`benchsep.stats`.
"""
