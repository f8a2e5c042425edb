"""Who judges clips, beside the recordings that they stand for: trained networks, and measures of speech."""
