"""The parts of a study file: ids, texts that the font can show, questions and tasks."""
