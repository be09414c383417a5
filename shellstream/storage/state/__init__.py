"""What a state folder has to be, and what is done with what is found in it."""
