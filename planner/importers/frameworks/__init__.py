"""Models of other frameworks' files, told apart by what the files hold."""
