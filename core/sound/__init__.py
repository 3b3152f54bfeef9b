"""What is done to sound between a file and the model: formats, channels, hum and dead air."""

SAMPLE_RATE_HZ = 16_000  # of all that the model hears
