"""The token language model: conditioner, layout of steps, decoder, heads, weights."""
