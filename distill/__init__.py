"""What makes the model: manifests, pretraining, distillation, probes and their evaluation."""
