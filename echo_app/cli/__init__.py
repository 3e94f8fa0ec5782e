"""The command line of ``twistd echo``: its options, and the settings of its process."""
