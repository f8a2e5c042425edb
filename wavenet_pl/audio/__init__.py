"""Audio as arrays: resampling, loudness, levels, mel frames, MIDI, WAV files, pictures."""
