"""Generation of tokens: sampling, static-shape step, compiled step, consensus."""
