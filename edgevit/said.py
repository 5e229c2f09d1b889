"""Where a file of TFLite or Core ML says what it is: the converters write there, the targets read it."""

LABELS, PREPROCESS = "labels.txt", "preprocess.json"
"""Files in the zip behind a TFLite model: a label in each line, and the preprocessing as in the record of the artifact."""
PACKAGE = "edgevit"
"""The key in the metadata of a package under which all of it stands, as JSON."""
