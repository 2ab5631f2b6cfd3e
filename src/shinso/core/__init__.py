"""Words that everything shares: card, check, record, seed, errors, setup, place."""
