"""``python -m echo_app.probe`` runs ``echo-probe``."""

from echo_app.probe.cli.command import main

if __name__ == "__main__":
    main()
