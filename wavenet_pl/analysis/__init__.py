"""What a trained network hears: probes of every layer beside controls, and what they say of the essay's claims."""
