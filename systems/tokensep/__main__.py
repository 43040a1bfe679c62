"""``python -m tokensep``, which ``torchrun`` and ``accelerate launch`` need."""

from tokensep.cli import main

main()
