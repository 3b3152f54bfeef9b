"""From the student to a checked int8 bundle."""
