"""Models from the files of other frameworks, which are recognised by their content."""
