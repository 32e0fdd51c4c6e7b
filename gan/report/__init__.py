"""One page to listen to and to look at: a run or results as HTML that works without a network."""
