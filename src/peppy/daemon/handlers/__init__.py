"""One module per request of the command line: its checks come first and change nothing, its effects follow."""
