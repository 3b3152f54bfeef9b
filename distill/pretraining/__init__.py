"""Pretrains the masked autoencoder."""
