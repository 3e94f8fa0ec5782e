"""The checks of ``echo-probe check``, each in a module, and what runs them."""
