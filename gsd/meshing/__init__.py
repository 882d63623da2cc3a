"""Triangle meshes: from scenes or points, simplified, with a texture, and drawn."""
