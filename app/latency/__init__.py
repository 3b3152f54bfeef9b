"""Times the model and the screening on the device that the application runs on."""
