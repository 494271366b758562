"""What is done to clean speech: the fixed procedure, streets, variants of both."""
