"""Files of folders, globs and lists: found, named in words and paired. Paths only: nothing is decoded."""
