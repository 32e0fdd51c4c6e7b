"""What a model is worth: measured file by file beside the unrepaired input, compared, laid out by shift and shifter."""
