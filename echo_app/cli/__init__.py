"""The command line of ``twistd echo``: its options, and what it does to its process."""
