"""The data doctor: hears recordings and pairs through, and says what is wrong with which.

portrait.py hears a file once, in blocks; band.py finds where its band was cut off, mirror.py the image that soft
resampling leaves above it; verdicts.py judges one file;
together.py compares the files of a folder; sides.py holds the two sides of pairs against each other; findings.py is
what comes of it; doctor.py goes through a folder.
"""
