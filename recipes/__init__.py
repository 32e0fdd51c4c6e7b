"""What is run: one script and one YAML file a stage."""
