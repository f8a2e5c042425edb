"""Shards of audio on disk: how they are written, indexed, checked and read. Nothing here waits for torch."""
