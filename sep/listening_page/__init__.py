"""The listening page: a folder for comparing separations in a browser."""
