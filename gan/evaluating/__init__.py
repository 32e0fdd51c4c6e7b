"""What a model is worth: measured file by file beside the unrepaired input, compared, and laid out by shift and shifter."""
