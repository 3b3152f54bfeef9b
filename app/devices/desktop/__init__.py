"""What a desktop brings for the protocols of the devices."""
