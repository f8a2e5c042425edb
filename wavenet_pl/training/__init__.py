"""Training: the LightningModule, the trainer around it, what is logged and what is printed."""
