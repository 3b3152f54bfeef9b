"""What a probe file holds: heads, clinical columns, and where the embeddings lie that it was fitted on."""
