"""What every command shares: config folders, help texts, errors as one sentence."""
