"""From corpora of recordings to shards: what `wavenet-pl prepare` does."""
