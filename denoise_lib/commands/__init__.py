"""What the command line does, one module for each command that works on sound or networks."""
