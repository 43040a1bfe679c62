"""What a separation system is, and the systems that need no code (``dir:``, ``cmd:``)."""
