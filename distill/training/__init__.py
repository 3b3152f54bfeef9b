"""The training loop that pretraining and distillation share."""
