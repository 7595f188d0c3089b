"""ARKit's shapes for a neutral mesh that has none, by registration of the built-in head; and vertices as its curves."""
