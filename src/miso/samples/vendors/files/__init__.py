"""Files of others, opened so that damage is one line of words."""
