"""Reports: tables, figures, the listening page.

All statistics come from :mod:`benchsep.stats`.
"""
