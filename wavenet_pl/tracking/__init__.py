"""What was logged, readable without a trainer: the rows of metrics.jsonl, and what W&B has of them."""
