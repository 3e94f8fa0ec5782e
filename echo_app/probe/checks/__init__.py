"""The checks of ``echo-probe check``, each in a module, and the examination that runs them."""
