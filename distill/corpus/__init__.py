"""What is learnt from: manifests, labels, stores and shards."""
