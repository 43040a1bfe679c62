"""The only modules of tokensep that know benchsep: the system and the ablation trainer."""
