"""How good a result is: objects against true objects."""
