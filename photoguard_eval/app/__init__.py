"""The two doors: the command line and the pytest plug-in."""
