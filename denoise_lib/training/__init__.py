"""How a network learns: the loop and the losses."""
