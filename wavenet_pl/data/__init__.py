"""From shards to batches: the order of an epoch, crops with their condition, worker processes."""
