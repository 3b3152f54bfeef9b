"""Sound as numbers: formats, channels, rates, filters, clips and quality."""
