"""The command line, a module for each subject, imported when it is needed."""
