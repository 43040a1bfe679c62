"""Where tracks come from: MUSDB18 in its editions, any folder of stems, the embedded clip."""
