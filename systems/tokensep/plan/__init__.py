"""What a training would cost, before it is started: ``tokensep plan``."""
