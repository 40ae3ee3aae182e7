"""Features at an instant, from what came strictly before it."""
