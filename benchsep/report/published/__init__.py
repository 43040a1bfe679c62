"""Values that others published, with their definitions, and what they are compared with here."""
