"""The command line of ``echo-probe``: commands and options."""
