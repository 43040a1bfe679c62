"""Signal processing around the model: windows, spectra, stereo."""
