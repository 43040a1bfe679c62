"""Data sets: the editions of MUSDB18, MoisesDB, any folder of stems, the embedded clip."""
