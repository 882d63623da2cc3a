"""A scene in the web browser, by viser: the server, the scene's Gaussians or surface, cameras, pictures and curves."""
