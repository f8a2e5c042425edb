"""Loggers: metrics.jsonl, the local truth, and Weights & Biases beside it, which never stops a training."""
