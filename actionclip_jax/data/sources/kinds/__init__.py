"""One file a kind of data set: how its list, classes and files are found."""
