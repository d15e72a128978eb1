"""The HTTP service for a canteen's till, and its page: `dishvl serve`."""
